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
from convergence.alignment.metrics.scores import beside
from convergence.alignment.moments.statistics import Eigen, HeldOutUnits

# Training correlations this close to 1 are 1 but for the rounding of two whitenings.
_TIED = 1e-6
# Canonical correlations down to this share of the largest do not come from a Gram matrix, which squares them.
_SMALL = 1e-2
_CONSTANT = 1e-14  # a variate whose held-out variance is below this share of its weights' reach is constant


@dataclass(frozen=True)
class Side:
    """Variates of one layer, as weights along the eigenvectors of its training scatter.

    Attributes
    ----------
    basis : (…, N, R) the eigenvectors.
    along : (…, R, r).
    shares : (…, r) how much of the layer's units each variate accounts for in training; None if not asked for.
    """

    basis: Tensor
    along: Tensor
    shares: Tensor | None = None

    @property
    def weights(self) -> Tensor:
        """(…, N, r)."""
        return self.basis @ self.along

    def of(self, units: HeldOutUnits, order: HeldOut | None = None) -> Tensor:
        """(…, T, r) the variates of kept responses; of a target, in the order of the source's."""
        kept, weights = (units.coordinates, self.along)
        if kept is None:
            kept, weights = units.responses, self.weights
        assert kept is not None
        return (kept if order is None else beside(kept, order)) @ weights


@dataclass(frozen=True)
class Variates:
    """Canonical variates of both layers.

    Attributes
    ----------
    there : (…, r) bool; pairs of layers with fewer variates are filled up.
    tied : (…, r) bool, those that share a block.
    """

    source: Side
    target: Side
    there: Tensor
    tied: Tensor


def reverse(variates: Variates) -> Variates:
    """The same from the target's side."""
    return replace(variates, source=variates.target, target=variates.source)


def fit(training: Training) -> Variates:
    """Canonical directions from the training scatters, one pair of layers after the other."""
    assert training.source.eigen is not None
    assert training.target.eigen is not None
    cross = training.cross
    lead = cross.shape[:-2]
    eigen = zip((*training.source.eigen, *training.target.eigen), (1, 2, 1, 1, 2, 1), strict=True)
    parts = [part.expand(*lead, *part.shape[-last:]).reshape(-1, *part.shape[-last:]) for part, last in eigen]
    sides = (zip(*three, strict=True) for three in (parts[:3], parts[3:]))
    fits = (_fit(*one) for one in zip(*sides, cross.reshape(-1, *cross.shape[-2:]), strict=True))
    found = [(x, y, torch.ones_like(tied), tied) for x, y, tied in fits]
    r = max((tied.shape[-1] for *_, tied in found), default=0)
    stacks = [
        torch.stack([torch.nn.functional.pad(one, (0, r - one.shape[-1])) for one in of_all]).unflatten(0, lead)
        for of_all in zip(*found, strict=True)
    ]
    along_x, along_y, there, tied = stacks
    source, target = Side(training.source.eigen[1], along_x), Side(training.target.eigen[1], along_y)
    return Variates(source, target, there, tied)


def with_shares(training: Training) -> Variates:
    """The same, with how much of the layers' units each variate accounts for."""
    variates = training.once(fit)
    assert training.source.eigen is not None
    assert training.target.eigen is not None
    values = training.source.eigen[0], training.target.eigen[0]
    source, target = (
        replace(side, shares=_shares(side, own, variates.tied))
        for side, own in zip((variates.source, variates.target), values, strict=True)
    )
    return replace(variates, source=source, target=target)


def _fit(source: Eigen, target: Eigen, cross: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights along both layers' eigenvectors, and which are tied; eigenvalues ascend: those that count come last."""
    (values_x, vectors_x, kept_x), (values_y, vectors_y, kept_y) = source, target
    first_x, first_y = (len(kept) - int(kept.sum()) for kept in (kept_x, kept_y))
    basis_x, basis_y = vectors_x[:, first_x:], vectors_y[:, first_y:]
    scale_x, scale_y = values_x[first_x:].rsqrt(), values_y[first_y:].rsqrt()
    white = torch.linalg.multi_dot([basis_x.T, cross, basis_y]) * scale_x[:, None] * scale_y
    left, found, right = _singular(white)
    pad = torch.nn.functional.pad
    along_x = pad(scale_x[:, None] * left, (0, 0, first_x, 0))
    return along_x, pad(scale_y[:, None] * right, (0, 0, first_y, 0)), found > 1 - _TIED


def _singular(white: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left vectors, values and right vectors: of the strong values by eigenvectors on the narrower side."""
    if white.shape[0] < white.shape[1]:
        right, values, left = _singular(white.T)
        return left, values, right
    if not white.numel():
        return white.new_zeros(white.shape), white.new_zeros(0), white.new_zeros(0, 0)
    squares, right = torch.linalg.eigh(white.T @ white)
    weak = int((squares <= _SMALL**2 * squares[-1]).sum())
    mapped, values = white @ right, squares.clamp_min(0).sqrt()
    left = mapped / values.clamp_min(torch.finfo(values.dtype).tiny)
    if weak:  # their squares are lost in rounding: from the singular vectors of what is left
        strong = left[:, weak:]
        rest = mapped[:, :weak] - strong @ (strong.T @ mapped[:, :weak])
        left[:, :weak], values[:weak], turned = torch.linalg.svd(rest, full_matrices=False)
        right[:, :weak] = right[:, :weak] @ turned.T
    return left, values, right


def _shares(side: Side, values: Tensor, tied: Tensor) -> Tensor:
    shares = (values[..., None] * side.along).mT @ side.basis.mT  # of each variate with each unit
    some = tied[..., None]
    # |·| of a block, whichever way it is turned
    block = (shares.square() * some).sum(dim=-2, keepdim=True) / some.sum(dim=-2, keepdim=True).clamp_min(1)
    return torch.where(some, block.sqrt(), shares.abs()).sum(dim=-1)


def correlations(variates: Variates, held_out: HeldOut) -> Tensor:
    """(…, r) held-out correlations of the pairs of variates."""
    source, target, tied = variates.source, variates.target, variates.tied
    if held_out.few or held_out.reversed.few:  # fewer products than with scatters
        x, y = source.of(held_out.source), target.of(held_out.target, held_out)
        together = (x * y).sum(dim=-2)
        found = x.square_().sum(dim=-2), y.square_().sum(dim=-2)
    else:
        x, y = source.weights, target.weights
        together = (x * (held_out.cross @ y)).sum(dim=-2)
        found = held_out.source.quadratic(x), held_out.target.quadratic(y)
    sizes = _varying(found[0], source, held_out.source), _varying(found[1], target, held_out.target)
    together, size_x, size_y = (
        torch.where(tied, ((part * tied).sum(-1) / tied.sum(-1).clamp_min(1))[..., None], part)
        for part in (together, *sizes)
    )
    usable = (size_x > 0) & (size_y > 0)
    return torch.where(usable, together / torch.where(usable, size_x * size_y, 1.0).sqrt(), 0.0)


def _varying(variance: Tensor, side: Side, units: HeldOutUnits) -> Tensor:
    """The variance of each variate, 0 where it is constant but for rounding."""
    reach = side.along.square().sum(dim=-2) * units.variance.sum(dim=-1, keepdim=True)
    return torch.where(variance > _CONSTANT * reach, variance, 0.0)
