"""Blocks of layer pairs whose moments fit the memory budget: each is one pass over the stimuli."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from convergence.alignment.moments.accumulate import Pair, Representation
from convergence.system.errors import UserError

T = TypeVar("T")
_BYTES = 8  # of a float64
_log = logging.getLogger("convergence")


def bytes_of_moments(
    widths_x: Mapping[str, int],
    widths_y: Mapping[str, int],
    pairs: Sequence[Pair],
    folds: int,
    at_once: int = 1,
    sets: int = 1,
) -> float:
    """Peak of one tile: moments of ``sets`` sets of stimuli, statistics of ``at_once`` folds, the scratch of a fit."""
    within = sum(widths_x[a] ** 2 for a in {a for a, _ in pairs})
    within += sum(widths_y[b] ** 2 for b in {b for _, b in pairs})
    cross = sum(widths_x[a] * widths_y[b] for a, b in pairs)
    fitted = (folds + 1 + 3 * at_once) * within + (folds + 3 * at_once) * cross
    scored = (folds + 2 * at_once) * within + (folds + at_once) * cross  # a further set, on which maps are scored
    return _BYTES * (fitted + (sets - 1) * scored)


def tiles(
    x: Representation,
    y: Representation,
    pairs: Sequence[Pair],
    cost_of: Callable[[list[Pair]], float],
    budget: float,
) -> Iterator[list[Pair]]:
    """Cut the pairs into blocks of neighbouring layers, as square as the budget asks."""
    by_positions: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_positions.setdefault(x.positions[pair[0]], []).append(pair)
    waiting = list(by_positions.values())[::-1]
    while waiting:
        block = waiting.pop()
        cost = cost_of(block)
        if cost <= budget:
            yield block
            continue
        if len(block) == 1:
            raise too_large(x, y, block[0], cost, budget)
        waiting += _halves(x, y, block)


def too_large(x: Representation, y: Representation, pair: Pair, cost: float, budget: float) -> UserError:
    """A pair that cannot be cut so that it fits."""
    a, b = pair
    return UserError(
        f"scoring {a} × {b} ({x.layers[a]:,} × {y.layers[b]:,} units) takes {cost / 2**30:.1f} GiB, more than "
        f"memory_gb={budget / 2**30:g}: raise it, or keep fewer units."
    )


def _halves(x: Representation, y: Representation, block: list[Pair]) -> list[list[Pair]]:
    names_x, names_y = list(dict.fromkeys(a for a, _ in block)), list(dict.fromkeys(b for _, b in block))
    wider_x = sum(x.layers[a] for a in names_x) >= sum(y.layers[b] for b in names_y)
    side = 0 if len(names_y) == 1 or (wider_x and len(names_x) > 1) else 1
    names, widths = (names_x, x.layers) if side == 0 else (names_y, y.layers)
    ends = np.cumsum([widths[n] for n in names])
    cut = min(max(1, int(np.searchsorted(ends, ends[-1] / 2, side="right"))), len(names) - 1)
    first = set(names[:cut])
    return [[p for p in block if p[side] not in first], [p for p in block if p[side] in first]]


def halving(
    work: Callable[[list[Pair]], T],
    blocks: Iterable[list[Pair]],
    x: Representation,
    y: Representation,
    in_parts: Callable[[Pair], T] | None = None,
) -> Iterator[tuple[list[Pair], T]]:
    """Each tile with the work done on it; one that does not fit on the device is halved, a single pair done in parts.

    Raises
    ------
    UserError
        If a single pair of layers does not fit.
    """
    waiting = list(blocks)[::-1]
    while waiting:
        tile = waiting.pop()
        try:
            found = work(tile)
        except torch.cuda.OutOfMemoryError:
            if len(tile) == 1:
                torch.cuda.empty_cache()
                try:
                    if in_parts is not None:
                        yield tile, in_parts(tile[0])
                        continue
                except torch.cuda.OutOfMemoryError:
                    pass
                a, b = tile[0]
                raise UserError(
                    f"layers '{a}' and '{b}' do not fit on the device: give device=cpu, or fewer units."
                ) from None
            _log.warning("a tile of %d pairs of layers did not fit on the device and was halved.", len(tile))
            torch.cuda.empty_cache()
            waiting += _halves(x, y, tile)[::-1]
            continue
        yield tile, found


def chunk(x: Representation, y: Representation, tile: Sequence[Pair], budget: float) -> int:
    """Stimuli read at a time: as read, sorted and in float64, they take a quarter of the budget, at most 256 MiB."""
    width = sum(x.layers[a] * x.positions[a] for a in {a for a, _ in tile})
    width += sum(y.layers[b] * y.positions[b] for b in {b for _, b in tile})
    return max(1, int(min(budget / 4, 2**28) / (2 * _BYTES * width)))
