"""The three scores of a fitted map on the held-out fold (METHODS: "three numbers that literature mixes up")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convergence.splits import LayerSplit

# A prediction whose held-out variance is below this share of what its weights could carry is constant.
_CONSTANT = 1e-14


@dataclass(frozen=True)
class Scores:
    """``score``: mean Pearson r over target units; ``overall``: Frobenius correlation (column score_global)."""

    score: Tensor
    overall: Tensor


def dense(weights: Tensor, source: LayerSplit, target: LayerSplit, cross: Tensor) -> Scores:
    """Scores of a dense map.

    Parameters
    ----------
    weights : (N_x, N_y) map; X W predicts Y.
    source, target : the layers, live units only.
    cross : (N_x, N_y) held-out cross scatter.
    """
    return _scores(
        covariance=(weights * cross).sum(dim=0),
        variance=(weights * (source.test @ weights)).sum(dim=0),
        reach=weights.square().sum(dim=0) * source.variance_test.sum(),
        drift=source.drift @ weights,
        target=(target.variance_test, target.drift, target.varies),
        n=source.n_test,
    )


def matched(rows: Tensor, columns: Tensor, source: LayerSplit, target: LayerSplit, cross: Tensor) -> Scores:
    """Scores of a one-to-one matching of source units ``rows`` with target units ``columns``, (E,) each.

    Units without a partner are out of all means. The same as :func:`dense`, without a matrix product.
    """
    return _scores(
        covariance=cross[rows, columns],
        variance=source.variance_test[rows],
        reach=source.variance_test.sum(),
        drift=source.drift[rows],
        target=(target.variance_test[columns], target.drift[columns], target.varies[columns]),
        n=source.n_test,
    )


def transported(
    rows: Tensor, columns: Tensor, masses: Tensor, source: LayerSplit, target: LayerSplit, cross: Tensor
) -> Tensor:
    """Σ T_ij r_ij on the held-out fold, over the mass between units that vary there."""
    both = source.varies[rows] & target.varies[columns]
    scale = torch.where(both, source.variance_test[rows] * target.variance_test[columns], 1.0).sqrt()
    r = torch.where(both, cross[rows, columns] / scale, 0.0)
    return (masses * r).sum() / (masses * both).sum()


def _scores(
    covariance: Tensor,
    variance: Tensor,
    reach: Tensor,
    drift: Tensor,
    target: tuple[Tensor, Tensor, Tensor],
    n: int,
) -> Scores:
    variance_y, drift_y, varies = target
    usable = varies & (variance > _CONSTANT * reach)
    # A constant prediction explains nothing of a unit that varies: r = 0, and the unit stays in the mean.
    r = torch.where(usable, covariance / torch.where(usable, variance * variance_y, 1.0).sqrt(), 0.0)
    shared = covariance.sum() + n * (drift * drift_y).sum()
    size_x = variance.sum().clamp_min(0) + n * drift.square().sum()
    size_y = variance_y.sum() + n * drift_y.square().sum()
    product = (size_x * size_y).sqrt()
    return Scores(r.sum() / varies.sum(), torch.where(product > 0, shared / product, 0.0))
