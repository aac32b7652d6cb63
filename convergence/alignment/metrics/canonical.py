"""Canonical correlation: directions of both layers that correlate most, found in training and correlated held-out.

With the training scatters Sx = Px Λx Pxᵀ and Sy alike, on their numerical range and without any ridge, and the
singular vectors U, V of Λx^-½ Pxᵀ Sxy Py Λy^-½, the canonical variates are X Px Λx^-½ U and Y Py Λy^-½ V (Hotelling
1936), r of them: the lesser rank. CCA is the mean of their held-out correlations; PWCCA weights each by how much
of the target's units it accounts for in training, Σ_j |⟨variate, unit j⟩| (Morcos, Raghu & Bengio 2018, eq. 2; there
the source may be either layer).

Variates whose training correlations are 1, as where units outnumber stimuli, have no directions of their own: any
rotation of them all does as well. Each gets the correlation of the whole block, which no rotation changes.
Ignored, up to rounding: all invertible linear maps of either layer, and offsets (PWCCA: of the source; of the
target, permutations and one common scale). CCA is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convergence.alignment.metrics.metric import HeldOut, Training
from convergence.alignment.moments.statistics import HeldOutUnits

# Training correlations this close to 1 are 1 but for the rounding of two whitenings.
_TIED = 1e-6
_CONSTANT = 1e-14  # a variate whose held-out variance is below this share of its weights' reach is constant


@dataclass(frozen=True)
class Variates:
    """Canonical variates of both layers, as weights (…, N_x, r) and (…, N_y, r).

    Attributes
    ----------
    there : (…, r) bool; pairs of layers with fewer variates are filled up.
    tied : (…, r) bool, those that share a block.
    shares_x, shares_y : (…, r) how much of either layer's units each accounts for in training.
    """

    x: Tensor
    y: Tensor
    there: Tensor
    tied: Tensor
    shares_x: Tensor
    shares_y: Tensor


def reverse(variates: Variates) -> Variates:
    """The same from the target's side."""
    v = variates
    return replace(v, x=v.y, y=v.x, shares_x=v.shares_y, shares_y=v.shares_x)


def fit(training: Training) -> Variates:
    """Canonical directions from the training scatters, one pair of layers after the other."""
    source, target, cross = training.source, training.target, training.cross
    assert source.eigen is not None
    assert target.eigen is not None
    assert source.scatter is not None
    assert target.scatter is not None
    lead = cross.shape[:-2]

    def flat(tensor: Tensor, last: int) -> Tensor:
        return tensor.expand(*lead, *tensor.shape[-last:]).reshape(-1, *tensor.shape[-last:])

    eigen = zip((*source.eigen, *target.eigen), (1, 2, 1, 1, 2, 1), strict=True)
    parts = [flat(part, last) for part, last in eigen]
    scatters = flat(source.scatter, 2), flat(target.scatter, 2)
    found = [_fit(*one) for one in zip(*parts, *scatters, flat(cross, 2), strict=True)]
    r = max((variates.there.shape[-1] for variates in found), default=0)
    stacks = []
    for name in Variates.__dataclass_fields__:
        fields = [getattr(variates, name) for variates in found]
        padded = [torch.nn.functional.pad(field, (0, r - field.shape[-1])) for field in fields]
        stacks.append(torch.stack(padded).unflatten(0, lead))
    return Variates(*stacks)


def _fit(
    values_x: Tensor,
    vectors_x: Tensor,
    kept_x: Tensor,
    values_y: Tensor,
    vectors_y: Tensor,
    kept_y: Tensor,
    scatter_x: Tensor,
    scatter_y: Tensor,
    cross: Tensor,
) -> Variates:
    white_x = vectors_x[:, kept_x] * values_x[kept_x].rsqrt()
    white_y = vectors_y[:, kept_y] * values_y[kept_y].rsqrt()
    left, found, right = torch.linalg.svd(white_x.T @ cross @ white_y, full_matrices=False)
    x, y, tied = white_x @ left, white_y @ right.T, found > 1 - _TIED
    return Variates(x, y, torch.ones_like(tied), tied, _shares(x, scatter_x, tied), _shares(y, scatter_y, tied))


def _shares(weights: Tensor, scatter: Tensor, tied: Tensor) -> Tensor:
    shares = weights.T @ scatter
    if bool(tied.any()):
        shares[tied] = shares[tied].square().mean(dim=0).sqrt()  # |·| of a block, whichever way it is turned
    return shares.abs().sum(dim=1)


def correlations(variates: Variates, held_out: HeldOut) -> Tensor:
    """(…, r) held-out correlations of the pairs of variates."""
    together = (variates.x * (held_out.cross @ variates.y)).sum(dim=-2)
    sizes = _variance(variates.x, held_out.source), _variance(variates.y, held_out.target)
    tied = variates.tied
    together, size_x, size_y = (
        torch.where(tied, ((part * tied).sum(-1) / tied.sum(-1).clamp_min(1))[..., None], part)
        for part in (together, *sizes)
    )
    usable = (size_x > 0) & (size_y > 0)
    return torch.where(usable, together / torch.where(usable, size_x * size_y, 1.0).sqrt(), 0.0)


def _variance(weights: Tensor, units: HeldOutUnits) -> Tensor:
    variance = (weights * (units.scatter @ weights)).sum(dim=-2)
    reach = weights.square().sum(dim=-2) * units.variance.sum(dim=-1, keepdim=True)
    return torch.where(variance > _CONSTANT * reach, variance, 0.0)
