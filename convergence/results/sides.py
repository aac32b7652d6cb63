"""The two points of view of a row: the engine's sides x and y, and the map's source and target.

The engine scores layers of x and of y with a direction; tables of results say source and target. This is the one place
that goes from one to the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
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
    forward = (table.direction == _FORWARD).to_numpy()
    ends: list[dict[str, Any]] = []
    for end, about in (("x", x), ("y", y)):
        rows = about.index.get_indexer(table[f"layer_{end}"])
        if (rows < 0).any():
            raise KeyError(f"the table has layers of {end} of which nothing is known")
        known = {name: about[name].to_numpy()[rows] for name in about}
        ends.append(known | {name: table[f"{name}_{end}"].to_numpy() for name in _PER_LAYER})
    of_x, of_y = ends
    columns = {f"source_{name}": np.where(forward, of_x[name], of_y[name]) for name in of_x}
    columns |= {f"target_{name}": np.where(forward, of_y[name], of_x[name]) for name in of_x}
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def x_and_y(rows: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """``source_<column>`` and ``target_<column>`` of rows of results, as those of x and of y."""
    forward = rows.direction == _FORWARD
    source, target = rows[f"source_{column}"], rows[f"target_{column}"]
    return source.where(forward, target), target.where(forward, source)
