"""Convergence in M: how a score settles as the number of stimuli grows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convergence.alignment.metrics.catalogue import find
from convergence.alignment.metrics.metric import Freedom
from convergence.results import views as tables


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """One row per metric, layer and number of stimuli, where a sweep has several; else none.

    Columns: metric, layer, depth, samples (M, times the positions where each is a sample), units (the most of both
    layers), score (mean over folds, directions and pairs of networks), low and high (± one standard deviation over
    folds, means of all else), scarce (:func:`scarce`).
    """
    rows = table[table.null.isna()]
    rows = tables.corresponding(tables.split(tables.networks(rows))[0])
    rows = rows.assign(
        layer=tables.layer_names(rows),
        depth=rows[["source_depth", "target_depth"]].mean(axis=1),
        samples=rows.n_train + rows.n_test,
        units=rows[["source_units", "target_units"]].max(axis=1),
        scarce=scarce(rows),
    )
    swept = rows.groupby("layer").samples.transform("nunique") > 1
    keys = ["metric", "layer", "depth", "samples"]
    by_fold = (
        rows[swept]
        .groupby([*keys, "fold"])
        .agg(score=("score", "mean"), units=("units", "max"), scarce=("scarce", "any"))
    )
    found = by_fold.groupby(keys).agg(
        score=("score", "mean"), spread=("score", "std"), units=("units", "max"), scarce=("scarce", "any")
    )
    spread = found.pop("spread")
    return found.assign(low=found.score - spread, high=found.score + spread).reset_index()


def scarce(rows: pd.DataFrame) -> pd.Series:
    """Whether a score is of too few stimuli to mean anything: not more to fit on than the fit has directions.

    A linear map from N_x units then fits any target exactly. The cross-covariance that Procrustes decomposes has no
    more than n_train - 1 directions, of min(N_x, N_y) that it would need. A matching estimates one correlation at a
    time, and is never marked.
    """
    freedom = rows.metric.map({name: find(name).freedom for name in rows.metric.unique()})
    needed = np.select(
        [freedom == Freedom.linear, freedom == Freedom.rotation],
        [rows.source_units, rows[["source_units", "target_units"]].min(axis=1)],
        default=0,
    )
    return rows.n_train <= needed
