"""Recordings in the table of results: which layer goes with which area."""

from __future__ import annotations

import pandas as pd

from convergence.results import views as tables

_KEYS = ["source_model", "target_model", "metric"]


def to_areas(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose target is an area: of trained networks, where there are any, or of other recordings."""
    rows = tables.split(table)[0]
    return rows[rows.target_depth.isna()]


def grid(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean score by source layer (rows) and target area (columns), in the order of the network and of the file."""
    cells = rows.pivot_table(index="source_layer", columns="target_layer", values="score", aggfunc="mean", sort=False)
    sources = rows.drop_duplicates("source_layer").sort_values("source_depth", kind="stable").source_layer
    return cells.reindex(index=sources, columns=rows.target_layer.unique())


def best_layers(table: pd.DataFrame) -> pd.DataFrame:
    """For each model, metric and target area the source layer with the highest mean score.

    Returns
    -------
    source_model, target_model, metric, target_layer, source_layer, score (mean over networks, recordings and folds),
    spread (standard deviation over pairs of these, over folds where there is one pair), corrected (the mean of
    ``score_corrected``) and ceiling (the root of the mean ``target_reliability``), both NaN without repeats.
    """
    rows = to_areas(table)
    rows = rows.assign(pair=tables.pair(rows))
    found = []
    for keys, part in rows.groupby(_KEYS, sort=False):
        over = "pair" if part.pair.nunique() > 1 else "fold"
        for area, here in part.groupby("target_layer", sort=False):
            means = here.groupby("source_layer", sort=False).score.mean()
            if means.isna().all():
                continue
            best = here[here.source_layer == means.idxmax()]
            found.append(
                {
                    **dict(zip(_KEYS, keys, strict=True)),
                    "target_layer": area,
                    "source_layer": means.idxmax(),
                    "score": means.max(),
                    "spread": best.groupby(over).score.mean().std(),
                    "corrected": best.score_corrected.mean(),
                    "ceiling": max(best.target_reliability.mean(), 0) ** 0.5,  # of noise alone it is below 0 by chance
                }
            )
    columns = [*_KEYS, "target_layer", "source_layer", "score", "spread", "corrected", "ceiling"]
    return pd.DataFrame(found, columns=columns)
