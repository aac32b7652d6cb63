"""Claim 5: most of the eventual rise in alignment is there after one epoch, ahead of accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convergence.alignment.metrics.catalogue import of_freedom
from convergence.alignment.metrics.metric import Freedom
from convergence.figures.style import label
from convergence.report.evidence import Evidence, directed
from convergence.report.grid import Grid, basis, grids
from convergence.results import views as tables
from convergence.results.rise import ACCURACY, ALL, rise, same_point
from convergence.results.uncertainty import Array, Sample, over_networks

TEXT = "most of the eventual rise is there after one epoch, ahead of accuracy"
EXPLAINED = (
    "Share of the rise from the untrained network to the last checkpoint that is there after one epoch, all layers, "
    "Procrustes: above one half, and above the same share of accuracy. Intervals over networks only."
)
_HALF = 0.5
_EPOCHS = 3  # with fewer, even a steady rise has half or nearly half of it after one epoch
_NEAR = 0.005


def evidence(table: pd.DataFrame) -> Evidence:
    """The share of the rise after one epoch, and its lead over accuracy's.

    Estimand: (A_1 - A_0)/(A_end - A_0) of the mean alignment of corresponding layers, and that less the same share of
    accuracy. Test: t over networks; stimuli tell nothing about other trainings, so with fewer than three networks there
    is no verdict. Rule: share above one half and lead above 0; either clearly below speaks against the claim. Both
    curves must rise by more than noise; training must last three epochs or more.
    """
    rows = tables.observed(table[table.axis == "training"])
    if rows.empty:
        return Evidence(5, TEXT, missing="no rows of training: run axis=training model.seeds.init=[0,1,2]")
    metric = of_freedom(rows.metric, Freedom.rotation) or str(rows.metric.iloc[0])
    found, lacking = [], ""
    for _, run in rows[rows.metric == metric].groupby("run", dropna=False):
        chosen, reason = _points(same_point(run))
        lacking = lacking or reason
        if not chosen.empty:
            lacking = lacking or _flat(run)
            found += grids(chosen, "point", ["0", "1", "end"])
    if not found or lacking:
        return Evidence(5, TEXT, rows=basis(found), missing=lacking or "no run has pairs of networks at equal points")
    samples = [_sample(grid) for grid in found]
    name = label(metric)
    share = over_networks(samples, lambda mean: _share(mean[:3]))
    lead = over_networks(samples, lambda mean: _share(mean[:3]) - _share(mean[3:]))
    against = "less than half of the rise is there after one epoch"
    parts = (
        directed(f"share after one epoch, {name}", share, against, threshold=_HALF),
        directed("share less accuracy's", lead, "accuracy is ahead of alignment after one epoch"),
    )
    networks = len({n for s in samples for n in s.networks})
    few = f"{networks} networks give no interval: run model.seeds.init=[0,1,2]" if np.isnan(share.error) else ""
    return Evidence(5, TEXT, parts, basis(found), few)


def _points(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows of one run before training, after one epoch and at the end; or what is lacking."""
    nothing = rows.iloc[:0]
    if rows.empty:
        return nothing, ""
    if rows.source_epoch.isna().any():
        return nothing, "the epochs of these checkpoints are not known: name them {epoch} in model.checkpoints"
    end = rows.source_epoch.max()
    if end < _EPOCHS:
        return nothing, f"training ends after {end:g} epochs: {_EPOCHS} or more are needed to speak of an eventual rise"
    names = {0.0: "0", 1.0: "1", end: "end"}
    places = [
        next((name for at, name in names.items() if abs(epoch - at) < _NEAR), None) for epoch in rows.source_epoch
    ]
    if not {"0", "1", "end"} <= set(places):
        return nothing, "checkpoints at epochs 0 and 1 are needed: leave axis.checkpoints out, or add them"
    if rows.source_accuracy.isna().any() or rows.target_accuracy.isna().any():
        return nothing, "the accuracy of these networks is not known"
    return rows.assign(point=places)[[p is not None for p in places]], ""


def _flat(run: pd.DataFrame) -> str:
    """What does not rise by more than noise, in words."""
    curves = rise(run)
    for metric, name in ((str(run.metric.iloc[0]), "alignment"), (ACCURACY, "accuracy")):
        curve = curves.curve(metric, ALL)
        if curve is not None and not curve.rises:
            return f"{name} does not rise by more than noise from beginning to end: there is no rise to share out"
    return ""


def _sample(grid: Grid) -> Sample:
    """(pairs, folds, 6): alignment at the three points, and the two networks' mean accuracy."""
    alignment = grid.scores.mean(axis=-1)
    return grid.sample(np.concatenate([alignment, np.broadcast_to(grid.accuracy[:, None], alignment.shape)], axis=2))


def _share(points: Array) -> Array:
    return np.asarray((points[1] - points[0]) / (points[2] - points[0]))
