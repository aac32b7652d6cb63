"""One fold held out: the training and held-out statistics of a layer, and of a pair of layers.

Training moments are sums over the other folds, never "all minus one": a unit that is silent on the training
stimuli then has exactly zero variance. The draws of a null come many at a time, along leading dimensions "…".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from convergence.alignment.moments.accumulate import Pair, Side

# A unit is dead when its spread is below this share of its level: float32 rounding of a constant stays below it.
_DEAD = 1e-6


class Units(Protocol):
    """What a matching needs to know of each unit, (…, N): :class:`LayerSplit` says what it is."""

    @property
    def n_train(self) -> int: ...
    @property
    def n_test(self) -> int: ...
    @property
    def live(self) -> Tensor: ...
    @property
    def all_live(self) -> bool: ...
    @property
    def mean_train(self) -> Tensor: ...
    @property
    def mean_test(self) -> Tensor: ...
    @property
    def drift(self) -> Tensor: ...
    @property
    def variance_train(self) -> Tensor: ...
    @property
    def variance_test(self) -> Tensor: ...
    @property
    def varies(self) -> Tensor: ...
    @property
    def ceiling(self) -> Tensor | None: ...


@dataclass
class LayerSplit:
    """Statistics of the units that live in the training folds (N of them), at one fold.

    Attributes
    ----------
    n_train, n_test : samples.
    live : (N_all,) bool, units whose training variance is not numerically zero.
    train : (N, N) training scatter Σ (x - m)(x - m)ᵀ around the training mean m.
    test : (N, N) held-out scatter around the held-out mean.
    drift : (N,) held-out mean minus training mean.
    varies : (N,) bool, units that are not constant in the held-out fold.
    ceiling : (N,) the largest r that the noise of repeated responses allows, 0 where units are left out of corrected
        scores; None without repeats.
    """

    n_train: int
    n_test: int
    live: Tensor
    mean_train: Tensor
    mean_test: Tensor
    train: Tensor
    test: Tensor
    varies: Tensor
    ceiling: Tensor | None = None

    @property
    def drift(self) -> Tensor:
        return self.mean_test - self.mean_train

    @cached_property
    def all_live(self) -> bool:
        return bool(self.live.all())

    @cached_property
    def variance_train(self) -> Tensor:
        return self.train.diagonal()

    @cached_property
    def variance_test(self) -> Tensor:
        return self.test.diagonal()

    @cached_property
    def dead(self) -> int:
        """Units left out: dead in training, or constant in the held-out fold."""
        return len(self.live) - int(self.varies.sum())

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (r,) and eigenvectors (N, r) of the training scatter, on its numerical range."""
        values, vectors = torch.linalg.eigh(self.train)
        size = max(len(values), self.n_train)
        kept = values > size * torch.finfo(values.dtype).eps * values.amax() if len(values) else values > 0
        return values[kept], vectors[:, kept]


@dataclass
class PairSplit:
    """Cross scatter of a pair of layers at one fold: ``train`` and ``test`` are (…, N_x, N_y), each about its mean."""

    train: Tensor
    test: Tensor


def layer_split(side: Side, name: str, counts: list[int], k: int) -> LayerSplit:
    """Statistics of layer ``name`` with fold ``k`` held out."""
    n_train = sum(counts) - counts[k]
    sums, products = others(side.sums[name], k), others(side.products[name], k)
    mean = sums / n_train
    train = products.addr_(mean, mean, alpha=-n_train)
    live = alive(train.diagonal(), n_train, mean, side.shift[name])
    if not bool(live.all()):
        mean, train = mean[live], train[live][:, live]
    nothing = mean[:0]
    ceiling = side.ceiling[name][live] if name in side.ceiling else None
    trained = LayerSplit(n_train, 0, live, mean, nothing, train, nothing, nothing, ceiling)
    return with_held_out(trained, side, name, counts, k)


def with_held_out(split: LayerSplit, side: Side, name: str, counts: list[int], k: int) -> LayerSplit:
    """The same training statistics, and fold ``k`` of these moments as the held-out ones.

    They may be of other responses to as many stimuli (the same images distorted, say), summed from the same shift.
    """
    n, mean = counts[k], side.sums[name][k] / counts[k]
    test = torch.addr(side.products[name][k], mean, mean, alpha=-n)
    varies = alive(test.diagonal(), n, mean, side.shift[name]) & split.live
    if not split.all_live:
        mean, varies = mean[split.live], varies[split.live]
        test = test[split.live][:, split.live]
    return replace(split, n_test=n, mean_test=mean, test=test, varies=varies)


def pair_split(cross: dict[Pair, Tensor], pair: Pair, x: Units, y: Units, k: int) -> PairSplit:
    """Cross scatter of ``pair`` with fold ``k`` held out, of live units only."""
    train = _about(_live(others(cross[pair], k), x, y), x.mean_train, y.mean_train, x.n_train)
    return PairSplit(train, held_out_cross(cross, pair, x, y, k))


def held_out_cross(cross: dict[Pair, Tensor], pair: Pair, x: Units, y: Units, k: int) -> Tensor:
    """Cross scatter (…, N_x, N_y) of fold ``k`` alone, about the held-out means of ``x`` and ``y``."""
    return _about(_live(cross[pair][k], x, y), x.mean_test, y.mean_test, x.n_test)


def _about(cross: Tensor, mean_x: Tensor, mean_y: Tensor, n: int) -> Tensor:
    return cross.addcmul(mean_x[..., :, None], mean_y[..., None, :], value=-n)


def _live(cross: Tensor, x: Units, y: Units) -> Tensor:
    if not x.all_live:
        cross = cross[..., x.live, :]
    return cross if y.all_live else cross[..., y.live]


def others(parts: Tensor, k: int) -> Tensor:
    """Sum over all folds but ``k``, as a new tensor."""
    rest = [j for j in range(len(parts)) if j != k]
    total = parts[rest[0]].clone()
    for j in rest[1:]:
        total += parts[j]
    return total


def alive(scatter: Tensor, n: int, mean: Tensor, shift: Tensor) -> Tensor:
    """Spread above rounding: compared with the unit's level and with its distance from the shift."""
    level = (mean + shift).square() + mean.square()
    return scatter > n * _DEAD**2 * level
