"""Canonical correlation: directions of both layers that correlate most, found in training and correlated held-out.

With the training scatters Sx = Px Λx Pxᵀ and Sy alike, on their numerical range and without any ridge, and the
singular vectors U, V of Λx^-½ Pxᵀ Sxy Py Λy^-½, the canonical variates are X Px Λx^-½ U and Y Py Λy^-½ V (Hotelling
1936), r of them: the lesser rank. `cca` is the mean of their held-out correlations; `pwcca` weights each by how much
of the target's units it accounts for in training, Σ_j |⟨variate, unit j⟩| (Morcos, Raghu & Bengio 2018, eq. 2; there
the source may be either layer).

Variates whose training correlations are 1, as where units outnumber stimuli, have no directions of their own: any
rotation of them all does as well. Each gets the correlation of the whole block, which no rotation changes.
Ignored, up to rounding: all invertible linear maps of either layer, and offsets (`pwcca`: of the source; of the
target, permutations and one common scale). `cca` is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convergence.alignment.moments.splits import LayerSplit

# Training correlations this close to 1 are 1 but for the rounding of two whitenings.
_TIED = 1e-6
_CONSTANT = 1e-14  # a variate whose held-out variance is below this share of its weights' reach is constant


@dataclass(frozen=True)
class Variates:
    """Canonical variates of both layers, as weights (N_x, r) and (N_y, r); the first ``tied`` of them share a block."""

    x: Tensor
    y: Tensor
    tied: int


def fit(x: LayerSplit, y: LayerSplit, cross: Tensor) -> Variates:
    """Canonical directions from the training scatters, and ``cross`` (N_x, N_y) between them."""
    (values_x, vectors_x), (values_y, vectors_y) = x.eigen, y.eigen
    white_x, white_y = vectors_x * values_x.rsqrt(), vectors_y * values_y.rsqrt()
    left, found, right = torch.linalg.svd(white_x.T @ cross @ white_y, full_matrices=False)
    return Variates(white_x @ left, white_y @ right.T, int((found > 1 - _TIED).sum()))


def correlations(variates: Variates, x: LayerSplit, y: LayerSplit, cross: Tensor) -> Tensor:
    """(r,) held-out correlations of the pairs of variates; ``cross`` is the held-out scatter (N_x, N_y)."""
    together = (variates.x * (cross @ variates.y)).sum(dim=0)
    size_x, size_y = _variance(variates.x, x), _variance(variates.y, y)
    if variates.tied:
        block = slice(0, variates.tied)
        for part in (together, size_x, size_y):
            part[block] = part[block].mean()
    usable = (size_x > 0) & (size_y > 0)
    return torch.where(usable, together / torch.where(usable, size_x * size_y, 1.0).sqrt(), 0.0)


def _variance(weights: Tensor, layer: LayerSplit) -> Tensor:
    variance = (weights * (layer.test @ weights)).sum(dim=0)
    reach = weights.square().sum(dim=0) * layer.variance_test.sum()
    return torch.where(variance > _CONSTANT * reach, variance, 0.0)


def weighted(r: Tensor, variates: Variates, x: LayerSplit, y: LayerSplit, direction: str) -> Tensor:
    """Mean of the correlations (r,), each weighted by how much of the target's units its variate accounts for."""
    target, layer = (variates.y, y) if direction == "x->y" else (variates.x, x)
    shares = target.T @ layer.train
    tied = shares[: variates.tied]
    if len(tied):
        shares[: variates.tied] = tied.square().mean(dim=0).sqrt()  # |·| of a block, whichever way it is turned
    weights = shares.abs().sum(dim=1)
    return (weights * r).sum() / weights.sum()
