"""Many networks at once: how alike each two are, which are close, and whether families of networks stand apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convergence.results import views as tables

LEAST = 4  # networks below which a table says it all
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """One metric's mean alignment between every two of n networks, of corresponding layers and both directions.

    Attributes
    ----------
    metric : of what.
    networks : names, ``model/weights``, in the order of the dendrogram's leaves.
    models : (n,) the model of each.
    alignment : (n, n), symmetric, NaN on the diagonal.
    tree : (n - 1, 4) scipy's linkage by average distance 1 − alignment.
    places : (n, 2) the first two coordinates of classical scaling of the same distances (Torgerson 1952).
    separability : d′ of the pairs within a model against those across, (mean - mean) / root mean variance; NaN where
        there are fewer than two of either.
    """

    metric: str
    networks: list[str]
    models: list[str]
    alignment: Array
    tree: Array
    places: Array
    separability: float


def populations(table: pd.DataFrame) -> list[Population]:
    """One per metric of the trained pairs; none where fewer than four networks have all met."""
    trained = tables.split(tables.networks(table))[0]
    rows = tables.corresponding(trained)
    found = []
    for metric, part in rows.groupby("metric", sort=False):
        matrix = _complete(_matrix(part))
        if len(matrix) >= LEAST:
            found.append(_population(str(metric), matrix))
    return found


def _matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Network × network: the mean over layers of the mean over folds, then of both directions."""
    source, target = tables.ends(rows)
    layers = rows.groupby([source.rename("a"), target.rename("b"), "source_layer", "target_layer"]).score.mean()
    means = layers.groupby(["a", "b"]).mean().unstack("b")
    names = sorted({*means.index, *means.columns})
    matrix = means.reindex(index=names, columns=names)
    return ((matrix + matrix.T) / 2).fillna(matrix).fillna(matrix.T)


def _complete(matrix: pd.DataFrame) -> pd.DataFrame:
    """Without the networks that have not met all others, those that have met fewest first."""
    while len(matrix) > 1:
        missing = (matrix.isna() & ~np.eye(len(matrix), dtype=bool)).sum(axis=1)
        if missing.max() == 0:
            break
        worst = missing.idxmax()
        matrix = matrix.drop(index=worst, columns=worst)
    return matrix


def _population(metric: str, matrix: pd.DataFrame) -> Population:
    distances = 1 - matrix.to_numpy(copy=True)
    np.fill_diagonal(distances, 0)
    from scipy.cluster import hierarchy  # a fifth of a second that a single run does without
    from scipy.spatial.distance import squareform

    tree = hierarchy.linkage(squareform(distances, checks=False), "average", optimal_ordering=True)
    order = hierarchy.leaves_list(tree)
    names = [str(matrix.index[i]) for i in order]
    alignment = matrix.to_numpy(copy=True)[np.ix_(order, order)]
    np.fill_diagonal(alignment, np.nan)
    models = [name.split("/")[0] for name in names]
    return Population(
        metric, names, models, alignment, tree, _scaled(distances)[order], _separability(alignment, models)
    )


def _scaled(distances: Array) -> Array:
    n = len(distances)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-centring @ distances**2 @ centring / 2)
    found = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0))
    return found * np.sign(found[np.abs(found).argmax(axis=0), [0, 1]] + 1e-300)  # the sign is free: keep it still


def _separability(alignment: Array, models: list[str]) -> float:
    i, j = np.triu_indices(len(models), 1)
    same = np.array(models)[i] == np.array(models)[j]
    within, across = alignment[i, j][same], alignment[i, j][~same]
    if min(len(within), len(across)) < 2:
        return float("nan")
    spread = np.sqrt((within.var(ddof=1) + across.var(ddof=1)) / 2)
    return float((within.mean() - across.mean()) / spread) if spread > 0 else float("inf")
