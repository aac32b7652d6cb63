"""Claim 1: alignment decreases with depth, under each metric."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convergence.figures.style import label
from convergence.report.evidence import Evidence, directed
from convergence.report.grid import Grid, basis, corresponding, grids, metrics_in
from convergence.results.uncertainty import Array, networks_or_stimuli

TEXT = "alignment decreases with depth"
EXPLAINED = (
    "Least-squares slope of the score of corresponding layers on relative depth (change from first to last layer), "
    "within each pair, then averaged; below 0 under every metric. A fall of less than 0.05 is of no importance."
)
_LEAST = 0.05
_LAYERS = 3


def evidence(table: pd.DataFrame) -> Evidence:
    """The slope of score on depth.

    Estimand: the least-squares slope of the held-out score of corresponding layers on relative depth, the mean over
    pairs of networks. Test: t over networks (jackknife), else over stimuli (corrected over folds). Rule: below 0 under
    each of the paper's metrics; above -0.05 speaks against it.
    """
    rows = corresponding(table)
    parts, used = [], []
    for metric in metrics_in(rows):
        found = [grid for grid in grids(rows[rows.metric == metric]) if len(grid.depths) >= _LAYERS]
        if found:
            slope = networks_or_stimuli([grid.sample(_slopes(grid)) for grid in found], lambda mean: mean)
            name = label(metric)
            against = f"the score does not fall by {_LEAST} or more from first to last layer under {name}"
            parts.append(directed(f"slope, {name}", slope, against, sign=-1, least=_LEAST))
            used += found
    missing = "" if parts else f"no rows of trained networks at {_LAYERS} depths or more: run axis=depth"
    return Evidence(1, TEXT, tuple(parts), basis(used), missing)


def _slopes(grid: Grid) -> Array:
    """(pairs, folds)."""
    centred = grid.depths - grid.depths.mean()
    return np.asarray(grid.scores @ centred / (centred @ centred))
