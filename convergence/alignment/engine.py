"""The one loop: blocks of layer pairs of equal widths, all folds, and all variants of the data at once.

Observed data are one variant, each draw of a null is one, and each set of a transfer. A metric's fit and score see
tensors (pairs, folds, variants, N_x, N_y) and do not know which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from convergence.alignment.metrics.metric import HeldOut, Metric, Training
from convergence.alignment.moments.accumulate import Moments, Pair
from convergence.alignment.moments.statistics import HeldOutUnits, Layers, TrainingUnits, cross_scatters
from convergence.system.memory import ease
from convergence.system.threads import one_thread

T = TypeVar("T")
Found = dict[tuple[str, str], Tensor]  # by metric and direction: (pairs, folds, variants, 6), see Scores.stacked
Doubtful = Mapping[str, Tensor]  # by metric: bool (pairs, folds, variants)
_BYTES = 8  # of a float64
_STACKED = 2**23  # bytes of cross scatters that one block holds on a CPU, about
_STACKED_ON_DEVICE = 2**31


@dataclass(frozen=True)
class Block:
    """Pairs of layers of equal widths: their places among the pairs of a tile, and what is known of both layers."""

    pairs: list[Pair]
    x: tuple[Layers, Tensor | None]
    y: tuple[Layers, Tensor | None]

    @property
    def training(self) -> tuple[TrainingUnits, TrainingUnits]:
        """Both sides' training statistics."""
        return self.x[0].training(self.x[1]), self.y[0].training(self.y[1])

    @property
    def held_out(self) -> tuple[HeldOutUnits, HeldOutUnits]:
        """Both sides' held-out statistics."""
        return self.x[0].held_out(self.x[1]), self.y[0].held_out(self.y[1])

    @property
    def work(self) -> int:
        """About how long it takes, to begin with the longest."""
        n_x, n_y = (side[0].live.shape[-1] for side in (self.x, self.y))
        return len(self.pairs) * n_x * n_y * max(n_x, n_y)


class Tile:
    """Statistics of a tile's layers with each of the folds ``held`` held out, and its pairs in blocks.

    Parameters
    ----------
    sets : moments of the stimuli that maps are scored on.
    """

    def __init__(
        self,
        moments: Moments,
        sets: Sequence[Moments],
        pairs: Sequence[Pair],
        held: Sequence[int],
        metrics: Sequence[Metric],
        pool: Executor | None,
    ) -> None:
        self.moments, self.sets, self.held, self.metrics = moments, sets, list(held), metrics
        self.device = next(iter(moments.cross.values())).device
        self.x, self.y = self._layers(0, pairs), self._layers(1, pairs)
        if any(metric.spectral for metric in metrics):
            stacks = list(dict.fromkeys(stack for side in (self.x, self.y) for stack, _ in side.values()))
            list((pool.map if pool else map)(Layers.decompose, stacks))
        self.blocks = self._blocks(pairs)

    def _layers(self, end: int, pairs: Sequence[Pair]) -> dict[str, tuple[Layers, int]]:
        """The stack of each layer, and its place there: layers of a width together, as long as they are small."""
        side = (self.moments.x, self.moments.y)[end]
        sets = [(m.x, m.y)[end] for m in self.sets]
        groups: list[list[str]] = []
        open_groups: dict[tuple[int, bool], list[str]] = {}
        for name in dict.fromkeys(pair[end] for pair in pairs):
            products = side.products[name]
            kind = products.shape[-1], name in side.ceiling
            most = self._stacked // (products.numel() * _BYTES)
            if len(open_groups.get(kind, ())) >= max(1, most) or kind not in open_groups:
                open_groups[kind] = []
                groups.append(open_groups[kind])
            open_groups[kind].append(name)
        stacks = [Layers(side, names, self.moments.counts, self.held, sets) for names in groups]
        return {name: (stack, i) for stack in stacks for i, name in enumerate(stack.names)}

    @property
    def _stacked(self) -> int:
        return _STACKED if self.device.type == "cpu" else _STACKED_ON_DEVICE

    def _blocks(self, pairs: Sequence[Pair]) -> list[Block]:
        groups: dict[tuple[Layers, Layers], list[Pair]] = {}
        for a, b in pairs:
            groups.setdefault((self.x[a][0], self.y[b][0]), []).append((a, b))
        blocks = []
        for group in groups.values():
            # A wide layer's statistics are copied for each of the narrow layers beside it.
            a, b = group[0]
            largest = (self.moments.cross[a, b], self.moments.x.products[a], self.moments.y.products[b])
            each = max(part.numel() for part in largest) * _BYTES * len(self.sets)
            size = max(1, int(self._stacked // each))
            for first in range(0, len(group), size):
                some = group[first : first + size]
                ends = zip((self.x, self.y), zip(*some, strict=True), strict=True)
                x, y = (self._picked([side[name] for name in names]) for side, names in ends)
                blocks.append(Block(some, x, y))
        return blocks

    def _picked(self, places: list[tuple[Layers, int]]) -> tuple[Layers, Tensor | None]:
        stack, index = places[0][0], [i for _, i in places]
        if index == list(range(len(stack.names))):  # nothing to copy
            return stack, None
        return stack, torch.tensor(index).to(self.device, non_blocking=True)

    def applicable(self, block: Block) -> list[Metric]:
        """The metrics that apply to the block's widths."""
        widths = [side[0].live.shape[-1] for side in (block.x, block.y)]
        return [metric for metric in self.metrics if widths[0] == widths[1] or not metric.equal_widths]

    def observed(self, block: Block, directions: Sequence[str], doubtful: Doubtful | None = None) -> Found:
        """Scores of the data, on each of the sets (see :func:`evaluate`)."""
        return evaluate(*self.data(block), self.applicable(block), directions, doubtful)

    def data(self, block: Block) -> tuple[Training, HeldOut]:
        """What the data say of a block's pairs."""
        parts = self._parts([self.moments], block)
        sets = parts if (len(self.sets) == 1 and self.sets[0] is self.moments) else self._parts(self.sets, block)
        return self.paired(block, parts, sets)

    def paired(self, block: Block, parts: Tensor, sets: Tensor) -> tuple[Training, HeldOut]:
        """The layers of a block with products (P, K, V, N_x, N_y) between them, in training and of the sets."""
        x, y = block.training
        tests = block.held_out
        train, test = cross_scatters(parts, self.held, x, y, sets, tests)
        return Training(x, y, train), HeldOut(*tests, test)

    def kept(self, block: Block) -> tuple[Tensor, Tensor]:
        """The responses that the moments keep of both sides' layers, pair by pair, (P, K, T, N) each."""
        sides = zip((self.moments.x, self.moments.y), zip(*block.pairs, strict=True), strict=True)
        x, y = (torch.stack([side.responses[name] for name in names]) for side, names in sides)
        return x, y

    def _parts(self, sets: Sequence[Moments], block: Block) -> Tensor:
        """(P, K, S, N_x, N_y)."""
        if len(block.pairs) == 1 and len(sets) == 1:
            return sets[0].cross[block.pairs[0]][None, :, None]
        return torch.stack([torch.stack([m.cross[pair] for pair in block.pairs]) for m in sets], dim=2)


def evaluate(
    training: Training,
    held_out: HeldOut,
    metrics: Sequence[Metric],
    directions: Sequence[str],
    doubtful: Doubtful | None = None,
) -> Found:
    """Fit each metric and score it: the same for data, draws and held-out sets.

    What fast fits have left ``doubtful`` is fitted by the most careful way, and scores of nothing else count then.
    """
    found: Found = {}
    backward = held_out.reversed
    for metric in metrics:
        if doubtful is not None:
            if metric.name not in doubtful:
                continue
            # A map that is scored on several sets is fitted once.
            careful = doubtful[metric.name].long().sum_to_size(training.cross.shape[:-2]) > 0
            training = replace(training, careful=careful.to(training.cross.device))
        assert metric.fit is not None
        assert metric.score is not None
        both_ways = metric.reverse is not None
        fitted = metric.fit(training) if both_ways or "x->y" in directions else None
        for direction in directions:
            if direction == "x->y":
                scores = metric.score(fitted, held_out)
            elif metric.symmetric and "x->y" in directions:
                found[metric.name, direction] = found[metric.name, "x->y"]
                continue
            else:
                turned = metric.reverse(fitted) if metric.reverse else metric.fit(training.reversed)
                scores = metric.score(turned, backward)
            found[metric.name, direction] = scores.stacked()
    return found


@contextmanager
def workers(device: torch.device) -> Iterator[Executor | None]:
    """As many threads as torch may use, each with one: decompositions side by side beat threads inside of one.

    None on a GPU, which takes one operation after the other.
    """
    if device.type != "cpu":
        yield None
        return
    with one_thread() as threads, ThreadPoolExecutor(max_workers=threads) as pool:
        yield pool


def in_order(jobs: Sequence[tuple[int, Callable[[], T]]], pool: Executor | None) -> Iterator[T]:
    """Results of the jobs, the longest first, so that no thread is left alone with one at the end."""
    longest = [job for _, job in sorted(jobs, key=lambda job: -job[0])]
    found = (job() for job in longest) if pool is None else pool.map(lambda job: job(), longest)
    for one in found:
        yield one
        ease()
