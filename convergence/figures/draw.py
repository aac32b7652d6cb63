"""All figures of a table of results."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from convergence.figures import areas, depth, ood, population, stimuli_sweep, training
from convergence.results import views as tables
from convergence.results.groups import comparable
from convergence.system.errors import UserError

_MOST = 12  # groups of one axis that are drawn
_log = logging.getLogger("convergence")


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """The figures of the axes that these rows belong to, as PDF and PNG under ``folder``.

    What must not be averaged (other data sets, architectures, numbers of stimuli) is drawn apart, each in a folder of
    its own.

    Raises
    ------
    UserError
        If there are no rows.
    """
    if table.empty:
        raise UserError(f"there are no rows to draw in {folder}: run the experiment first.")
    recorded = tables.recorded(table)
    paths = areas.draw(tables.observed(table[recorded]), folder) if recorded.any() else []
    for axis, rows in table[~recorded].groupby("axis"):
        groups = comparable(rows)
        if not groups:
            _log.info("the rows of axis=%s are of raw pixels alone: there is no pair of networks to draw.", axis)
        if len(groups) > 1:
            _log.info("axis=%s: %d groups of rows that must not be averaged are drawn apart.", axis, len(groups))
        if len(groups) > _MOST:
            _log.info("only the first %d are drawn; name fewer run folders to see the others.", _MOST)
        for name, part in list(groups.items())[:_MOST]:
            paths += _of_axis(str(axis), part, folder / name)
        if axis == "depth":
            for name, part in comparable(rows, ("dataset", "stimuli")).items():
                paths += population.draw(tables.observed(part), folder / name)
    return paths


def _of_axis(axis: str, rows: pd.DataFrame, folder: Path) -> list[Path]:
    observed = tables.observed(rows)
    if observed.empty:
        return []
    if axis == "depth":
        return depth.draw(observed, folder, chance=tables.chance(rows)) + stimuli_sweep.draw(rows, folder)
    return {"training": training.draw, "ood": ood.draw}[axis](observed, folder)
