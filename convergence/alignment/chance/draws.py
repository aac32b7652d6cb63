"""The draws of the nulls of a tile: as many at a time as fit the budget, scored by the engine as the data are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import torch

from convergence.alignment import rows
from convergence.alignment.chance import null as nulls
from convergence.alignment.chance import variants
from convergence.alignment.chance.drawn import Scores
from convergence.alignment.chance.null import Null
from convergence.alignment.engine import Block, Doubtful, Found, Tile, evaluate, in_order
from convergence.alignment.metrics.metric import HeldOut, Metric, Training
from convergence.alignment.moments.accumulate import Pair, Permuted, Representation
from convergence.alignment.request import Request
from convergence.alignment.stacks import batches

_BYTES = 8  # of a float64
_JOB_BYTES = 2**24  # of the cross scatters that one job works on
_PIECES = 8  # jobs into which a batch of draws is cut at most, so that no thread is left alone with the widest pair
_JOB_WORK = 2**23  # floating-point operations, about, below which a job is not worth its overhead


def keeps(x: Representation, y: Representation, pairs: Sequence[Pair], folds: int, null: Null) -> float:
    """Bytes that the draws of a tile take besides its moments, one draw at a time."""
    within = sum(side.layers[name] ** 2 for side, names in _sides(x, y, pairs) for name in names)
    rows = sum(x.layers[name] for name in {a for a, _ in pairs}) * x.rows * x.positions[pairs[0][0]]
    # Scatters and eigenvectors at every fold; the responses of X, whose stimuli are to be reordered.
    bytes_kept = _BYTES * (3 * folds * within + ("shuffle" in null.kinds) * rows)
    return bytes_kept + max(bytes_of_a_draw(x, y, pairs, folds).values())


def bytes_of_a_draw(x: Representation, y: Representation, pairs: Sequence[Pair], folds: int) -> dict[str, float]:
    """Cross moments of all pairs, twice while they are parted, or rotations of all layers; and the jobs' scratch."""
    cross = [x.layers[a] * y.layers[b] for a, b in pairs]
    within = [side.layers[name] ** 2 for side, names in _sides(x, y, pairs) for name in names]
    threads = torch.get_num_threads()
    return {
        "shuffle": _BYTES * (2 * folds * sum(cross) + 12 * max(cross)),
        "rotation": _BYTES * (sum(within) + threads * (2 * folds + 8) * max(*within, *cross)),
    }


def _sides(x: Representation, y: Representation, pairs: Sequence[Pair]) -> list[tuple[Representation, set[str]]]:
    return [(x, {a for a, _ in pairs}), (y, {b for _, b in pairs})]


def draw(request: Request, tile: Tile, *, room: float, chunk: int, pool: Executor | None) -> None:
    """Score all draws of a tile's pairs into ``request.drawn``, as many at a time as fit ``room`` bytes.

    ``chunk`` : stimuli read at a time.
    """
    null, x, y = request.null, request.x, request.y
    pairs = [pair for block in tile.blocks for pair in block.pairs]
    for kind, each in bytes_of_a_draw(x, y, pairs, len(tile.held)).items():
        size = max(1, int(room / each))
        if kind == "shuffle" and kind in null.kinds:
            permuted = Permuted(x, y, pairs, request.fold, tile.moments, chunk)
            _shuffle(request, tile, permuted, size, pool)
        elif kind in null.kinds and any(metric.basis_bound for metric in tile.metrics):
            widest = max(parts.numel() for parts in tile.moments.cross.values())
            most = max(1, 4 * _JOB_BYTES // (_BYTES * widest))
            _rotate(request, tile, min(size, most), pool)


@dataclass(frozen=True)
class _Job:
    """Some draws of one block; ``steps`` of the progress it is worth."""

    kind: str
    tile: Tile
    block: Block
    draws: range
    metrics: Sequence[Metric]
    directions: Sequence[str]
    make: Callable[[], tuple[Training, HeldOut]]
    steps: int

    def __call__(self) -> tuple[_Job, dict[tuple[str, str], Scores]]:
        return self, rows.settled(self._found(), self._found)

    def _found(self, doubtful: Doubtful | None = None) -> Found:
        return evaluate(*self.make(), self.metrics, self.directions, doubtful)


def _run(request: Request, jobs: list[_Job], pool: Executor | None) -> None:
    drawn, advance = request.drawn, request.options.advance
    assert drawn is not None
    for job, numbers in in_order([(job.block.work * len(job.draws), job) for job in jobs], pool):
        folds = len(job.tile.moments.counts)
        for (metric, direction), values in numbers.items():
            for pair, own in zip(job.block.pairs, values, strict=True):
                drawn.put(job.kind, (*pair, metric, direction), folds, job.draws, job.tile.held, own[..., :3])
        if advance is not None:
            advance(job.steps)


def _shuffle(request: Request, tile: Tile, permuted: Permuted, size: int, pool: Executor | None) -> None:
    """All draws of the shuffle null, ``size`` of them to a pass over the stimuli."""
    fold, null = request.fold, request.null
    samples = sum(tile.moments.counts) // len(fold)  # of a stimulus
    for draws in batches(range(null.draws), size):
        orders = [nulls.permutation(fold, null.seed, draw) for draw in draws]
        cross = permuted.cross(orders, pool)
        beside = [part[tile.held].to(tile.device) for part in variants.beside(fold, orders, samples)]
        jobs = []
        for block in tile.blocks:
            products = [cross[pair] for pair in block.pairs]
            least = -(-len(draws) // _PIECES) if block.work > _JOB_WORK else len(draws)
            for some in batches(draws, min(_most(tile, block), least)):
                its = slice(some.start - draws.start, some.stop - draws.start)
                one, other = (part[:, its] for part in beside)
                make = partial(variants.shuffled, tile, block, [parts[:, its] for parts in products], (one, other))
                steps = len(block.pairs) * len(tile.held) * len(some)
                metrics = tile.applicable(block)
                jobs.append(_Job("shuffle", tile, block, some, metrics, request.directions, make, steps))
        _run(request, jobs, pool)


def _rotate(request: Request, tile: Tile, size: int, pool: Executor | None) -> None:
    """All draws of the rotation null, at most ``size`` at a time, of the metrics that a rotation changes."""
    null, directions = request.null, request.directions
    for draws in batches(range(null.draws), size):
        jobs = []
        sources = [side for side, turned in ((tile.x, "x->y"), (tile.y, "y->x")) if turned in directions]
        stacks = list(dict.fromkeys(stack for side in sources for stack, _ in side.values()))
        turns = variants.rotations(stacks, null.seed, draws)
        for direction in directions:
            end = 0 if direction == "x->y" else 1
            for block in tile.blocks:
                stack, index = (block.x, block.y)[end]
                own = turns[stack] if index is None else turns[stack][index]
                metrics = [metric for metric in tile.applicable(block) if metric.basis_bound]
                for some in batches(draws, _most(tile, block)):
                    its = own[:, some.start - draws.start : some.stop - draws.start]
                    make = partial(variants.rotated, tile, block, direction, its)
                    steps = len(block.pairs) * len(tile.held) * len(some) if direction == directions[-1] else 0
                    jobs.append(_Job("rotation", tile, block, some, metrics, (direction,), make, steps))
        _run(request, jobs, pool)


def _most(tile: Tile, block: Block) -> int:
    """Draws of a block that one job works on."""
    each = len(block.pairs) * tile.moments.cross[block.pairs[0]].numel()
    return max(1, _JOB_BYTES // (_BYTES * each))
