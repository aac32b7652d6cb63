"""Gram matrices: the side to work from where a layer has more units than there are stimuli (whole flattened maps).

XXᵀ (M × M) says of X all that the fits of linear regression and Procrustes need, and XᵀX (N × N) is never made. As in
``accumulate.py``, responses are shifted by those to the first stimulus and accumulated in float64. One pass
goes over blocks of units, each with all stimuli.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convergence.alignment.moments.accumulate import Representation, check_finite
from convergence.alignment.moments.splits import alive


class Columns(Representation, Protocol):
    """Responses that can be read unit by unit, too."""

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli: (M, stop - start)."""


@dataclass
class Gram:
    """One layer: ``products`` (M, M) of shifted responses, and per held-out fold which units count, (K, N) bool.

    ``live`` : units whose training variance is not numerically zero. ``varies`` : those of them that are not constant
    in the held-out fold.
    """

    products: Tensor
    live: Tensor
    varies: Tensor


@dataclass
class Spectrum:
    """One layer with one fold held out, about its training mean.

    Attributes
    ----------
    train : (n, n) products of the training stimuli.
    cross : (m, n) products of the held-out stimuli with the training stimuli.
    values, vectors : (r,) and (n, r), the eigenvalues and eigenvectors of ``train`` on its numerical range.
    """

    train: Tensor
    cross: Tensor
    values: Tensor
    vectors: Tensor


def blocks(source: Columns, name: str, width: int, device: torch.device) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Blocks of ``width`` units: which they are, (M, width) responses less those to the first stimulus, and these."""
    for start in range(0, source.layers[name], width):
        stop = min(start + width, source.layers[name])
        read = source.columns(name, start, stop)
        block = read.to(device, torch.float64)  # the caller's own memory, where it is that already
        first = block[0].clone()
        block = block - first
        if not bool(torch.isfinite(block.sum())):
            check_finite(name, read, 0)
        yield slice(start, stop), block, first


def accumulate(source: Columns, name: str, fold: Tensor, *, device: torch.device, width: int) -> Gram:
    """One pass over the units of a layer.

    Parameters
    ----------
    fold : (M,) fold of each stimulus.
    width : units read at a time.

    Raises
    ------
    UserError
        If a response is NaN or infinite, naming the layer and the row.
    """
    folds, units = int(fold.max()) + 1, source.layers[name]
    member = torch.nn.functional.one_hot(fold, folds).T.to(device, torch.float64)  # (K, M)
    held = torch.bincount(fold, minlength=folds).tolist()
    products = torch.zeros(len(fold), len(fold), dtype=torch.float64, device=device)
    live, varies = (torch.empty(folds, units, dtype=torch.bool, device=device) for _ in range(2))
    for where, block, first in blocks(source, name, width, device):
        products.addmm_(block, block.T)
        sums, squares = member @ block, member @ block.square()
        for k in range(folds):
            others = [j for j in range(folds) if j != k]
            n = len(fold) - held[k]
            mean, mean_test = sums[others].sum(dim=0) / n, sums[k] / held[k]
            live[k, where] = alive(squares[others].sum(dim=0) - n * mean.square(), n, mean, first)
            test = squares[k] - held[k] * mean_test.square()
            varies[k, where] = alive(test, held[k], mean_test, first) & live[k, where]
    return Gram(products, live, varies)


def spectrum(gram: Gram, fold: Tensor, k: int) -> Spectrum:
    """The layer with fold ``k`` held out."""
    fold = fold.to(gram.products.device)
    rest = gram.products[:, fold != k]
    train, cross = rest[fold != k], rest[fold == k]
    means = train.mean(dim=0)
    cross = cross - cross.mean(dim=1, keepdim=True) - means + means.mean()
    train = train - means[:, None] - means + means.mean()
    values, vectors = torch.linalg.eigh(train)
    size = max(len(train), gram.live.shape[1])
    kept = values > size * torch.finfo(values.dtype).eps * values.amax().clamp_min(0)
    return Spectrum(train, cross, values[kept], vectors[:, kept])
