"""The two points of view of a row: the engine's sides x and y, and the map's source and target.

The engine scores layers of x and of y with a direction; tables of results say source and target. This is the one place
that goes from one to the other.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

_FORWARD = "x->y"
_PER_LAYER = ("units", "dead")  # columns of the engine that each side has


def source_and_target(table: pd.DataFrame, x: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
    """The engine's table with what is known of the layers, as ``source_…`` and ``target_…``.

    Parameters
    ----------
    table : as :func:`convergence.alignment.score.score` gives it.
    x, y : what is known of the layers of either side, by the engine's names.
    """
    described = {"x": x, "y": y}
    forward = table.direction == _FORWARD
    parts = []
    for rows, ends in ((forward, "xy"), (~forward, "yx")):
        part = table[rows]
        columns: dict[str, Any] = {}
        for role, end in zip(("source", "target"), ends, strict=True):
            about = described[end].loc[part[f"layer_{end}"]]
            columns |= {f"{role}_{name}": about[name].to_numpy() for name in about}
            columns |= {f"{role}_{name}": part[f"{name}_{end}"].to_numpy() for name in _PER_LAYER}
        parts.append(part.assign(**columns))
    return pd.concat(parts).sort_index()


def x_and_y(rows: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """``source_<column>`` and ``target_<column>`` of rows of results, as those of x and of y."""
    forward = rows.direction == _FORWARD
    source, target = rows[f"source_{column}"], rows[f"target_{column}"]
    return source.where(forward, target), target.where(forward, source)
