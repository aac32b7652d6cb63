"""The paper's figures, drawn from results alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from convergence.system.errors import UserError


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """The figures of the axes that these rows belong to, as PDF and PNG under ``folder``.

    Raises
    ------
    UserError
        If there are no rows.
    """
    if table.empty:
        raise UserError(f"there are no rows to draw in {folder}: run the experiment first.")
    from convergence.figures import areas, depth, ood, stimuli_sweep, training
    from convergence.results import views as tables

    axes: dict[str, Callable[[pd.DataFrame, Path], list[Path]]] = {
        "depth": partial(depth.draw, chance=tables.chance(table)),
        "training": training.draw,
        "ood": ood.draw,
    }
    recorded = tables.recorded(table)
    paths = areas.draw(tables.observed(table[recorded]), folder) if recorded.any() else []
    table = table[~recorded]
    by_axis = tables.observed(table).groupby("axis")
    paths += [path for axis, rows in by_axis for path in axes[str(axis)](rows, folder)]
    return paths + stimuli_sweep.draw(table[table.axis == "depth"], folder)
