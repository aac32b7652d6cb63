"""Gram matrices: the side to work from where a layer has more units than there are stimuli (whole flattened maps).

XXᵀ (M × M) says of X all that the fits of linear regression and Procrustes need, and XᵀX (N × N) is never made. As in
``accumulate.py``, responses are shifted by those to the first stimulus and accumulated in float64. One pass
goes over blocks of units, each with all stimuli.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convergence.alignment.moments.accumulate import Representation, are_single, check_finite
from convergence.alignment.moments.statistics import TrainingUnits, alive, in_range, others, power, rounding


class Columns(Representation, Protocol):
    """Responses that can be read unit by unit, too."""

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli: (M, stop - start)."""


@dataclass
class Gram:
    """One layer over S sets of stimuli: those that maps are fitted on, then others that they are scored on, if any.

    Attributes
    ----------
    products : S times (M, M) of shifted responses: of a set's stimuli with those of the first.
    live : (K, N) bool, units whose training variance is not numerically zero, per held-out fold.
    varies : S times (K, N), those of them that are not constant in the held-out fold.
    rounding : (K,) variance that rounding of responses may add, over all units.
    """

    products: list[Tensor]
    live: Tensor
    varies: list[Tensor]
    rounding: Tensor


@dataclass
class Reduced:
    """One layer with one fold held out, about its training mean, in coordinates along its own principal directions.

    Attributes
    ----------
    values : (r,) eigenvalues of the training scatter, on its numerical range.
    rounding : () variance that rounding of responses may add, over all units.
    train : (n, r) coordinates of the training stimuli; their scatter is diagonal.
    tests : S times (m, r) of the held-out stimuli of each set.
    """

    values: Tensor
    rounding: Tensor
    train: Tensor
    tests: list[Tensor]

    @property
    def units(self) -> TrainingUnits:
        """The coordinates as units, of which maps are fitted: (1, 1, 1, r)."""
        lead, r = (1, 1, 1), len(self.values)
        values, there = self.values.view(*lead, r), torch.ones(*lead, r, dtype=torch.bool, device=self.values.device)
        identity = torch.eye(r, dtype=values.dtype, device=values.device).view(*lead, r, r)
        n = torch.full((*lead, 1), len(self.train), dtype=values.dtype, device=values.device)
        noise = self.rounding.view(*lead, 1)
        return TrainingUnits(n, torch.zeros_like(values), values, there, noise, None, (values, identity, there))


def blocks(
    sources: Sequence[Columns], name: str, width: int, device: torch.device
) -> Iterator[tuple[slice, list[Tensor], Tensor]]:
    """Blocks of units: which they are, (M, width) responses of each source less the first's to the first stimulus."""
    for start in range(0, sources[0].layers[name], width):
        stop = min(start + width, sources[0].layers[name])
        reads = [source.columns(name, start, stop) for source in sources]
        first = reads[0][0].to(device, torch.float64)
        parts = [read.to(device, torch.float64) - first for read in reads]  # never in the caller's own memory
        for read, block in zip(reads, parts, strict=True):
            if not bool(torch.isfinite(block.sum())):
                check_finite(name, read, 0)
        yield slice(start, stop), parts, first


def accumulate(sources: Sequence[Columns], name: str, fold: Tensor, *, device: torch.device, width: int) -> Gram:
    """One pass over the units of a layer.

    Parameters
    ----------
    sources : the responses that maps are fitted on, and others to as many stimuli.
    fold : (M,) fold of each stimulus.
    width : units read at a time.

    Raises
    ------
    UserError
        If a response is NaN or infinite, naming the layer and the row.
    """
    folds, units = int(fold.max()) + 1, sources[0].layers[name]
    member = torch.nn.functional.one_hot(fold, folds).T.to(device, torch.float64)  # (K, M)
    held = member.sum(dim=1, keepdim=True)
    products = [torch.zeros(len(fold), len(fold), dtype=torch.float64, device=device) for _ in sources]
    live = torch.empty(folds, units, dtype=torch.bool, device=device)
    varies = [torch.empty_like(live) for _ in sources]
    total, single = torch.zeros(folds, dtype=torch.float64, device=device), True
    for where, parts, first in blocks(sources, name, width, device):
        sums, squares = member @ parts[0], member @ parts[0].square()
        n, mean = held.sum() - held, others(sums[None], range(folds))[0]
        mean = mean / n
        variance = others(squares[None], range(folds))[0] - n * mean.square()
        live[:, where] = alive(variance, n, mean, first)
        total += power(variance * live[:, where], n, (mean + first) * live[:, where])
        single = single and are_single(parts[0] + first)
        for block, product, constant in zip(parts, products, varies, strict=True):
            product.addmm_(block, parts[0].T)
            mean = member @ block / held
            test = member @ block.square() - held * mean.square()
            constant[:, where] = alive(test, held, mean, first) & live[:, where]
    return Gram(products, live, varies, rounding(total, torch.tensor(single, device=device)))


def reduced(gram: Gram, fold: Tensor, k: int) -> Reduced:
    """The layer with fold ``k`` held out."""
    fold = fold.to(gram.live.device)
    raw = gram.products[0][fold != k][:, fold != k]
    means = raw.mean(dim=0)
    train = raw - means[:, None] - means + means.mean()
    values, vectors = torch.linalg.eigh(train)
    n = torch.tensor(len(train), device=values.device)
    kept = in_range(values, gram.rounding[k], n, gram.live.shape[1])
    values, vectors = values[kept], vectors[:, kept]
    scale = values.sqrt()
    tests = []
    for products in gram.products:
        cross = products[fold == k][:, fold != k]
        cross = cross - cross.mean(dim=1, keepdim=True) - means + means.mean()
        tests.append(cross @ vectors / scale)
    return Reduced(values, gram.rounding[k], vectors * scale, tests)
