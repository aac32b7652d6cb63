"""What the folds say of layers and of pairs of layers: training and held-out statistics, many at a time.

Training moments are sums over the other folds, never "all minus one": a unit that is silent on the training
stimuli then has exactly zero variance. Units that are dead stay where they are, with zeros in their place, so that all
layers of a width, all folds, and all draws of a null or held-out sets lie along leading dimensions "…" of one tensor:
(pairs, folds, variants).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convergence.alignment.moments.accumulate import Side
from convergence.alignment.stacks import stacked

# A unit is dead when its spread is below this share of its level: float32 rounding of a constant stays below it.
_DEAD = 1e-6
# Rounding adds about this share of its level to a response that is a float32 number (as all are that a network in
# float32 gives, in whatever type they come), and to another.
_SINGLE, _DOUBLE = 3e-8, 3e-16
_BLOCK = 64  # units: below it, halving a matrix product costs more than it saves
_LARGE = 2**26  # multiplications from which halving pays on a CPU

Eigen = tuple[Tensor, Tensor, Tensor]  # values (…, N), vectors (…, N, N), which of them count (…, N)


@dataclass(frozen=True)
class TrainingUnits:
    """Units of layers on the training stimuli.

    Attributes
    ----------
    n : (…, 1) samples.
    mean, variance : (…, N); the variance is Σ (x - m)², 0 for dead units.
    live : (…, N) bool.
    rounding : (…, 1) variance that rounding of responses may add, over all units; weaker directions are no evidence.
    scatter : (…, N, N) Σ (x - m)(x - m)ᵀ; None where only single units are known.
    eigen : eigenvalues and eigenvectors of the scatter, and which are in its numerical range.
    """

    n: Tensor
    mean: Tensor
    variance: Tensor
    live: Tensor
    rounding: Tensor
    scatter: Tensor | None = None
    eigen: Eigen | None = None


@dataclass(frozen=True)
class HeldOutUnits:
    """Units of layers on the held-out stimuli.

    Attributes
    ----------
    n : (…, 1) samples.
    mean, variance : (…, N), about the held-out mean.
    shift : (…, N) held-out mean minus training mean, 0 for dead units.
    varies : (…, N) bool: live in training, and not constant here.
    scatter : (…, N, N); None where only single units are known, and their responses.
    ceiling : (…, N) the largest r that the noise of repeated responses allows, 0 where units are left out of corrected
        scores; None without repeats.
    turned : (…, N, N) a rotation of the units that all but ``scatter`` are of; None where they are as they are.
    responses : (…, T, N) about the held-out mean, where they are kept; zeros fill up smaller folds.
    coordinates : (…, T, r) the same along the eigenvectors of the training scatter.
    """

    n: Tensor
    mean: Tensor
    variance: Tensor
    shift: Tensor
    varies: Tensor
    scatter: Tensor | None
    ceiling: Tensor | None = None
    turned: Tensor | None = None
    responses: Tensor | None = None
    coordinates: Tensor | None = None

    def quadratic(self, weights: Tensor) -> Tensor:
        """Held-out variance (…, N_y) of the predictions of a map (…, N, N_y)."""
        if self.scatter is None:
            assert self.responses is not None
            return (self.responses @ weights).square_().sum(dim=-2)
        return quadratic(self.scatter, weights if self.turned is None else self.turned @ weights)


class Layers:
    """Layers of one side that have one width, stacked: statistics (L, F, …) with each of the folds ``held`` held out.

    Parameters
    ----------
    sets : moments of the same layers on which maps are scored, the i-th fold held out with the i-th; by default these.
    """

    def __init__(self, side: Side, names: Sequence[str], counts: list[int], held: Sequence[int], sets: Sequence[Side]):
        self.names = list(names)
        self.held = list(held)
        products, sums = _stacked(side.products, names), _stacked(side.sums, names)
        self.shift = _stacked(side.shift, names)[:, None]
        like: Any = {"dtype": products.dtype, "device": products.device}
        self.n_train = torch.tensor([[sum(counts) - counts[k]] for k in held], **like)
        self.n_test = torch.tensor([[counts[k]] for k in held], **like)
        self.most_train = max(sum(counts) - counts[k] for k in held)
        self.mean = others(sums, held) / self.n_train
        scatter, spread = _spread(others(products, held), self.mean, self.n_train)
        self.live = alive(spread, self.n_train, self.mean, self.shift)
        self.scatter = None if scatter is None else _masked(scatter, self.live, self.live)
        self.variance, level = spread.mul(self.live), (self.mean + self.shift) * self.live
        single = torch.tensor([[side.single[name]] for name in names], device=products.device)
        self.rounding = rounding(power(self.variance, self.n_train, level), single)[..., None]
        self.ceiling = _stacked(side.ceiling, names)[:, None] if names[0] in side.ceiling else None
        self.eigen: Eigen | None = None
        found = [self._held_out(other, names) for other in sets]
        known, tests = [one[:3] for one in found], [test for *_, test in found if test is not None]
        self.test_mean, self.varies, self.test_variance = (
            torch.stack(parts, dim=2) for parts in zip(*known, strict=True)
        )
        self.test = torch.stack(tests, dim=2) if tests else None
        self.responses: Tensor | None = None
        self.coordinates: Tensor | None = None
        if all(names[0] in other.responses for other in sets):
            self.responses = torch.stack([self._about_mean(other, names) for other in sets], dim=2)

    def _held_out(self, side: Side, names: Sequence[str]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        mean = _stacked(side.sums, names)[:, self.held] / self.n_test
        test, spread = _spread(_stacked(side.products, names)[:, self.held], mean, self.n_test)
        varies = alive(spread, self.n_test, mean, _stacked(side.shift, names)[:, None])
        scatter = None if test is None else _masked(test, self.live, self.live)
        return mean, varies & self.live, spread.mul(self.live), scatter

    def _about_mean(self, side: Side, names: Sequence[str]) -> Tensor:
        responses = _stacked(side.responses, names)[:, self.held]
        mean = _stacked(side.sums, names)[:, self.held] / self.n_test
        there = torch.arange(responses.shape[-2], device=responses.device) < self.n_test  # (F, T)
        return responses.sub(mean[..., None, :]).mul_(there[..., None]).mul_(self.live[..., None, :])

    def decompose(self) -> None:
        """Eigenvectors of the training scatters; where stimuli are fewer than units, without those of value zero."""
        assert self.scatter is not None
        values, vectors = torch.linalg.eigh(self.scatter)
        rank = min(values.shape[-1], self.most_train - 1)
        if 0 < rank < values.shape[-1]:
            values, vectors = values[..., -rank:], vectors[..., -rank:].contiguous()
        self.eigen = values, vectors, in_range(values, self.rounding, self.n_train, self.scatter.shape[-1])
        if self.responses is not None and self.responses.shape[-2] <= self.responses.shape[-1]:
            self.coordinates = self.responses @ vectors.unsqueeze(2)

    def training(self, index: Tensor | None) -> TrainingUnits:
        """Layers ``index`` (P,), or the only one: statistics (P, F, 1, …)."""
        eigen = None if self.eigen is None else tuple(_picked(part, index).unsqueeze(2) for part in self.eigen)
        scatter = None if self.scatter is None else _picked(self.scatter, index).unsqueeze(2)
        known = (self.mean, self.variance, self.live, self.rounding)
        mean, variance, live, noise = (_picked(part, index).unsqueeze(2) for part in known)
        return TrainingUnits(self.n_train[:, None], mean, variance, live, noise, scatter, eigen)  # type: ignore[arg-type]

    def held_out(self, index: Tensor | None) -> HeldOutUnits:
        """The same layers held out: statistics (P, F, sets, …)."""
        test = None if self.test is None else _picked(self.test, index)
        mean, varies, variance = (_picked(part, index) for part in (self.test_mean, self.varies, self.test_variance))
        shift = (mean - _picked(self.mean, index).unsqueeze(2)) * _picked(self.live, index).unsqueeze(2)
        ceiling = None if self.ceiling is None else _picked(self.ceiling, index).unsqueeze(2)
        responses, along = (
            None if part is None else _picked(part, index) for part in (self.responses, self.coordinates)
        )
        kept: Any = {"responses": responses, "coordinates": along}
        return HeldOutUnits(self.n_test[:, None], mean, variance, shift, varies, test, ceiling, **kept)


def _stacked(tensors: dict[str, Tensor], names: Sequence[str]) -> Tensor:
    return stacked([tensors[name] for name in names])


def _picked(tensor: Tensor, index: Tensor | None) -> Tensor:
    return tensor if index is None else tensor[index]


def cross_scatters(
    parts: Tensor, held: Sequence[int], x: TrainingUnits, y: TrainingUnits, sets: Tensor, tests: Sequence[HeldOutUnits]
) -> tuple[Tensor, Tensor]:
    """Training and held-out scatter between pairs of layers, each about its mean.

    Parameters
    ----------
    parts : (P, K, V, N_x, N_y) products of each fold, V of them.
    sets : (P, K, S, N_x, N_y) the same, on the stimuli that maps are scored on.
    tests : the two layers held out.
    """
    train = _about(others(parts, held), x.mean, y.mean, x.n)
    test = _about(sets[:, list(held)], tests[0].mean, tests[1].mean, tests[0].n)
    return _masked(train, x.live, y.live), _masked(test, x.live, y.live)


def others(parts: Tensor, held: Sequence[int]) -> Tensor:
    """(L, F, …) sums over all folds of (L, K, …) but each one of ``held``."""
    folds = parts.shape[1]
    chosen = torch.ones(len(held), folds, dtype=parts.dtype)
    chosen[range(len(held)), list(held)] = 0
    total = chosen.to(parts.device, non_blocking=True) @ parts.reshape(len(parts), folds, -1)
    return total.reshape(len(parts), len(held), *parts.shape[2:])


def _about(products: Tensor, mean_x: Tensor, mean_y: Tensor, n: Tensor) -> Tensor:
    """In place: products about the means."""
    return products.addcmul_((n * mean_x)[..., :, None], mean_y[..., None, :], value=-1)


def _spread(products: Tensor, mean: Tensor, n: Tensor) -> tuple[Tensor | None, Tensor]:
    """Scatter about the mean, if there are products (…, N, N) and not squares (…, N) alone, and its diagonal."""
    if products.ndim == mean.ndim:
        return None, products - n * mean.square()
    scatter = _about(products, mean, mean, n)
    return scatter, scatter.diagonal(dim1=-2, dim2=-1)


def _masked(scatter: Tensor, live_x: Tensor, live_y: Tensor) -> Tensor:
    return scatter.mul_(live_x[..., :, None]).mul_(live_y[..., None, :])


def alive(scatter: Tensor, n: Tensor | int, mean: Tensor, shift: Tensor) -> Tensor:
    """Spread above rounding: compared with the unit's level and with its distance from the shift."""
    level = (mean + shift).square() + mean.square()
    return scatter > n * _DEAD**2 * level


def power(variance: Tensor, n: Tensor, level: Tensor) -> Tensor:
    """Mean square of a response, Σ over live units of (…, N): their scatter and their mean; dead ones have zeros."""
    return (variance / n + level.square()).sum(dim=-1)


def rounding(total: Tensor, single: Tensor) -> Tensor:
    """Variance that rounding may add to responses of this power: to float32 numbers, or to others.

    It is of all units together, so that a rotation of them does not change it.
    """
    return total * torch.where(single, _SINGLE, _DOUBLE) ** 2


def in_range(values: Tensor, noise: Tensor | float, n: Tensor, units: int) -> Tensor:
    """Which eigenvalues (…, r) of the scatter of n samples are above the rounding of responses and of the scatter."""
    # The eigenvalues of rounding's own scatter are at most (√n + √N)² of its variances, and that twice to be safe.
    noise = 8 * noise * (n / units).clamp_min(1)
    lost = n.clamp_min(units) * torch.finfo(values.dtype).eps * values.amax(dim=-1, keepdim=True).clamp_min(0)
    return values > torch.maximum(lost, noise)


def quadratic(scatter: Tensor, weights: Tensor) -> Tensor:
    """wᵀSw of each column w of (…, N_x, N_y).

    S is symmetric: on a CPU, of the two mixed quarters of a large product only one is multiplied.
    """
    n_x, n_y = weights.shape[-2:]
    half = n_x // 2
    if scatter.device.type != "cpu" or half < _BLOCK or n_x * n_x * n_y < _LARGE:
        return (scatter @ weights).mul_(weights).sum(dim=-2)
    upper, lower = weights[..., :half, :], weights[..., half:, :]
    mixed = (scatter[..., :half, half:] @ lower).mul_(upper).sum(dim=-2)
    return quadratic(scatter[..., :half, :half], upper) + 2 * mixed + quadratic(scatter[..., half:, half:], lower)
