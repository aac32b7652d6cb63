"""Second moments of two networks' layers, fold by fold, in one pass over the stimuli.

Every map and every score of the project depends on the data only through, per fold, the number of samples,
the sums of X and Y, and XᵀX, YᵀY and XᵀY. This module accumulates them and knows nothing of metrics.

Everything is shifted by the response to the first stimulus and accumulated in float64: the shift takes away
a mean far larger than the spread, and, unlike the mean of a first chunk, it does not depend on the chunk size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from convergence.alignment.moments.groups import Group, groups_of
from convergence.alignment.reliability import ceilings
from convergence.system.errors import UserError

Pair = tuple[str, str]


class Representation(Protocol):
    """Responses of one network: what the moments read, chunk by chunk."""

    @property
    def layers(self) -> dict[str, int]:
        """Units of each layer, in forward order."""

    @property
    def rows(self) -> int:
        """Number of stimuli."""

    @property
    def positions(self) -> dict[str, int]:
        """Samples per stimulus of each layer (1 unless space is turned into samples)."""

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1: (n, N), or (n, P, N) with P positions."""


@dataclass
class Side:
    """Moments of one network's layers: shift (N,), sums (K, N) and products (K, N, N) of shifted responses.

    ``single`` : all responses that were read are float32 numbers, in whatever type.
    ``products`` are (K, N), squares alone, where no scatter within a layer is asked for.
    ``ceiling`` (N,) : what the noise of repeated responses allows, of the layers where that is known.
    ``responses`` (k, T, N) : the shifted responses to the first k folds, where kept; zeros fill up smaller folds.
    """

    shift: dict[str, Tensor]
    sums: dict[str, Tensor]
    products: dict[str, Tensor]
    single: dict[str, bool]
    ceiling: dict[str, Tensor] = field(default_factory=dict)
    responses: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Moments:
    """Moments of both sides and between them. ``cross[x, y]`` is (K, N_x, N_y); ``counts`` is (K,), in samples."""

    counts: list[int]
    x: Side
    y: Side
    cross: dict[Pair, Tensor]


@dataclass(frozen=True)
class Pass:
    """How the stimuli are read, and what is kept of them.

    Attributes
    ----------
    chunk : stimuli read at a time.
    keep : the responses to so many of the first folds, too: maps are scored faster by them where a fold has fewer
        stimuli than a layer has units.
    scatters : the products within layers; else the squares of single units alone.
    """

    device: torch.device
    chunk: int
    keep: int = 0
    scatters: bool = True


def accumulate(
    x: Representation,
    y: Representation,
    pairs: Sequence[Pair],
    fold: Tensor,
    how: Pass,
    origin: Moments | None = None,
) -> Moments:
    """One pass over the stimuli.

    Parameters
    ----------
    x, y : the two networks' responses to the same stimuli, in the same order.
    pairs : layer pairs whose cross moments are wanted. All layers must have the same number of positions.
    fold : (M,) fold of each stimulus.
    origin : moments of other responses of the same layers, whose shifts are taken over, so that both can be combined.

    Raises
    ------
    UserError
        If a response is NaN or infinite, naming the layer and the row.
    """
    columns_x = _Columns(x, dict.fromkeys(a for a, _ in pairs))
    columns_y = _Columns(y, dict.fromkeys(b for _, b in pairs))
    folds, device, keep = int(fold.max()) + 1, how.device, how.keep
    side_x = columns_x.empty_side(folds, device, origin.x if origin else None, how.scatters)
    side_y = columns_y.empty_side(folds, device, origin.y if origin else None, how.scatters)
    groups = groups_of(pairs, columns_x, columns_y, (folds,), device)
    counts = [n * columns_x.positions for n in torch.bincount(fold, minlength=folds).tolist()]
    if keep:
        columns_x.make_room(side_x, counts[:keep], device)
        columns_y.make_room(side_y, counts[:keep], device)
    filled = [0] * folds
    for start in range(0, len(fold), how.chunk):
        part = fold[start : start + how.chunk]
        order = torch.argsort(part, stable=True)
        block_x = columns_x.block(start, order, side_x, device)
        block_y = columns_y.block(start, order, side_y, device)
        for k, rows in _runs(part, folds, columns_x.positions):
            columns_x.add(side_x, k, block_x[rows])
            columns_y.add(side_y, k, block_y[rows])
            if k < keep:
                columns_x.keep(side_x, k, filled[k], block_x[rows])
                columns_y.keep(side_y, k, filled[k], block_y[rows])
                filled[k] += rows.stop - rows.start
            for group in groups:
                group.products[k].addmm_(block_x[rows, group.columns_x].T, block_y[rows, group.columns_y])
    return Moments(counts, side_x, side_y, {pair: view for group in groups for pair, view in group.views()})


class Permuted:
    """Cross moments with the stimuli of X in other orders.

    The responses of X are kept, in float64, because an order may ask for any of them next; those of Y are read once
    for each batch of orders.

    Parameters
    ----------
    moments : of x and y in their own order, whose shifts are taken over.
    """

    def __init__(
        self, x: Representation, y: Representation, pairs: Sequence[Pair], fold: Tensor, moments: Moments, chunk: int
    ) -> None:
        self._x = _Columns(x, dict.fromkeys(a for a, _ in pairs))
        self._y = _Columns(y, dict.fromkeys(b for _, b in pairs))
        self._pairs, self._fold, self._moments, self._chunk = pairs, fold, moments, chunk
        self._device = next(iter(moments.cross.values())).device
        shape = (len(fold), self._x.positions, self._x.width)
        self._kept = torch.empty(shape, dtype=torch.float64, device=self._device)
        for start in range(0, len(fold), chunk):
            part = self._kept[start : start + chunk]
            block = self._x.block(start, torch.arange(len(part)), moments.x, self._device)
            part.copy_(block.view_as(part))

    def cross(self, orders: Sequence[Tensor], pool: Executor | None) -> dict[Pair, Tensor]:
        """(K, orders, N_x, N_y) of each pair: stimulus i of Y stands beside stimulus ``order[i]`` of X."""
        folds = len(self._moments.counts)
        groups = groups_of(self._pairs, self._x, self._y, (folds, len(orders)), self._device)
        for start in range(0, len(self._fold), self._chunk):
            part = self._fold[start : start + self._chunk]
            sorting = torch.argsort(part, stable=True)
            block_y = self._y.block(start, sorting, self._moments.y, self._device)
            runs = list(_runs(part, folds, self._y.positions))
            beside = [order[start + sorting].to(self._device) for order in orders]
            work = partial(self._add, block_y=block_y, runs=runs, groups=groups)
            list((pool.map if pool else map)(work, range(len(orders)), beside))
        return {pair: view for group in groups for pair, view in group.views()}

    def _add(
        self, draw: int, beside: Tensor, block_y: Tensor, runs: Sequence[tuple[int, slice]], groups: Sequence[Group]
    ) -> None:
        block_x = self._kept[beside].flatten(0, 1)
        for k, rows in runs:
            for group in groups:
                left, right = block_x[rows, group.columns_x], block_y[rows, group.columns_y]
                group.products[k, draw].addmm_(left.T, right)


def _runs(part: Tensor, folds: int, positions: int) -> Iterator[tuple[int, slice]]:
    """Rows of each fold in a chunk that is sorted by fold."""
    end = 0
    for k, size in enumerate(torch.bincount(part, minlength=folds).tolist()):
        begin, end = end, end + size
        if size:
            yield k, slice(begin * positions, end * positions)


class _Columns:
    """The layers of one side laid side by side, so that one matrix product serves many pairs."""

    def __init__(self, source: Representation, names: Iterable[str]) -> None:
        self.source = source
        self.names = list(names)
        self.slices: dict[str, slice] = {}
        end = 0
        for name in self.names:
            begin, end = end, end + source.layers[name]
            self.slices[name] = slice(begin, end)
        self.width = end
        self.positions = source.positions[self.names[0]]
        self._buffer: Tensor | None = None

    def empty_side(self, folds: int, device: torch.device, origin: Side | None, scatters: bool) -> Side:
        widths = self.source.layers
        if origin is None:
            first = self.source.read(self.names, 0, 1)
            shift = {n: first[n].reshape(-1, widths[n])[0].to(device, torch.float64) for n in self.names}
        else:
            shift = {n: origin.shift[n] for n in self.names}

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        return Side(
            shift=shift,
            sums={n: zeros(folds, widths[n]) for n in self.names},
            products={n: zeros(folds, *(widths[n],) * (2 if scatters else 1)) for n in self.names},
            single=dict.fromkeys(self.names, True),
            ceiling=ceilings(self.source, self.names, device),
        )

    def block(self, start: int, order: Tensor, side: Side, device: torch.device) -> Tensor:
        """(n·P, Σ N) shifted responses of one chunk, stimuli sorted by fold; the next chunk takes its place."""
        responses = self.source.read(self.names, start, start + len(order))
        rows = len(order) * self.positions
        # One buffer for all chunks: a new one for each leaves holes, and the peak would grow with M.
        if self._buffer is None or len(self._buffer) < rows:
            self._buffer = torch.empty(rows, self.width, dtype=torch.float64, device=device)
        block = self._buffer[:rows]
        order = order.to(device)
        for name, columns in self.slices.items():
            block[:, columns] = responses[name].to(device)[order].reshape(len(block), -1)
            side.single[name] = side.single[name] and are_single(responses[name])
        block -= torch.cat([side.shift[name] for name in self.names])
        # A sum is finite only if all its terms are: one cheap reduction, and the search only where it fails.
        if not bool(torch.isfinite(block.sum())):
            for name in self.names:
                check_finite(name, responses[name], start)
        return block

    def add(self, side: Side, k: int, rows: Tensor) -> None:
        sums = rows.sum(dim=0)
        for name, columns in self.slices.items():
            side.sums[name][k] += sums[columns]
            if side.products[name].ndim == 3:
                side.products[name][k].addmm_(rows[:, columns].T, rows[:, columns])
            else:
                side.products[name][k] += rows[:, columns].square().sum(dim=0)

    def make_room(self, side: Side, counts: list[int], device: torch.device) -> None:
        for name in self.names:
            shape = (len(counts), max(counts), self.source.layers[name])
            side.responses[name] = torch.zeros(shape, dtype=torch.float64, device=device)

    def keep(self, side: Side, k: int, start: int, rows: Tensor) -> None:
        for name, columns in self.slices.items():
            side.responses[name][k, start : start + len(rows)] = rows[:, columns]


def are_single(responses: Tensor) -> bool:
    """Whether all of them are float32 numbers."""
    return responses.dtype != torch.float64 or bool((responses.float() == responses).all())


def check_finite(name: str, responses: Tensor, start: int) -> None:
    """Raise UserError naming the layer and the row of the first response that is NaN or infinite."""
    bad = ~torch.isfinite(responses.reshape(len(responses), -1)).all(dim=1)
    if bool(bad.any()):
        row = start + int(bad.nonzero()[0])
        raise UserError(f"layer '{name}' has a NaN or infinite response at row {row}: mend or drop that stimulus.")
