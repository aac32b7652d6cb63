"""Scores of many draws of a null at once, from one tile's moments.

A draw of `shuffle` has the layers' statistics of the data, and cross moments of its own. A draw of `rotation` follows
from the data's moments alone: Q turns the units of the source that live in every training set, and the others stay as
they are, so that dead units stay dead. Draws lie along a leading dimension of the tensors that maps are fitted from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence.alignment.chance import null as nulls
from convergence.alignment.chance.null import BASIS_BOUND, Null
from convergence.alignment.metrics import canonical as cca
from convergence.alignment.metrics import linear, matching, procrustes, scores
from convergence.alignment.metrics import partial_soft_matching as partial_matching
from convergence.alignment.moments.accumulate import Moments, Pair, Permuted, Representation, Side
from convergence.alignment.moments.splits import (
    LayerSplit,
    PairSplit,
    Units,
    alive,
    held_out_cross,
    layer_split,
    others,
    pair_split,
)

Key = tuple[str, str, str, str]  # layer_x, layer_y, metric, direction
Scores = NDArray[np.float64]
_Found = dict[tuple[str, str], Tensor]  # by metric and direction: (B, 3)
_Advance = Callable[[int], None] | None
_BYTES = 8  # of a float64
_JOB_BYTES = 2**26  # of the cross moments that one job of the rotation null works on
_PIECES = 8  # jobs into which a batch of draws is cut at most, so that no thread is left alone with the widest pair
_JOB_WORK = 2**23  # floating-point operations, about, below which a job is not worth its overhead


@dataclass
class Drawn:
    """The three scores of every draw, by null and by pair, metric and direction: (draws, folds, 3) each."""

    null: Null
    scores: dict[str, dict[Key, Scores]] = field(default_factory=dict)

    def put(self, kind: str, key: Key, folds: int, draws: range, k: int, numbers: Tensor) -> None:
        empty = np.full((self.null.draws, folds, 3), np.nan)
        self.scores.setdefault(kind, {}).setdefault(key, empty)[draws.start : draws.stop, k] = numbers.cpu().numpy()


def keeps(x: Representation, y: Representation, pairs: Sequence[Pair], folds: int, null: Null) -> float:
    """Bytes that the draws of a tile take besides its moments, one draw at a time."""
    within = sum(side.layers[name] ** 2 for side, names in _sides(x, y, pairs) for name in names)
    rows = sum(x.layers[name] for name in {a for a, _ in pairs}) * x.rows * x.positions[pairs[0][0]]
    # Scatters and eigenvectors at every fold; the responses of X, whose stimuli are to be reordered.
    bytes_kept = _BYTES * (3 * folds * within + ("shuffle" in null.kinds) * rows)
    return bytes_kept + max(_bytes_of_a_draw(x, y, pairs, folds).values())


def _bytes_of_a_draw(x: Representation, y: Representation, pairs: Sequence[Pair], folds: int) -> dict[str, float]:
    """Cross moments of all pairs, or rotations of all layers; and the scratch of the jobs at work."""
    cross = [x.layers[a] * y.layers[b] for a, b in pairs]
    within = [side.layers[name] ** 2 for side, names in _sides(x, y, pairs) for name in names]
    threads = torch.get_num_threads()
    return {
        "shuffle": _BYTES * (folds * sum(cross) + 12 * max(cross)),
        "rotation": _BYTES * (sum(within) + threads * (2 * folds + 8) * max(*within, *cross)),
    }


def _sides(x: Representation, y: Representation, pairs: Sequence[Pair]) -> list[tuple[Representation, set[str]]]:
    return [(x, {a for a, _ in pairs}), (y, {b for _, b in pairs})]


@dataclass(frozen=True)
class Tile:
    """What the draws of a tile are made from: its moments, and what they say of the layers at each fold."""

    moments: Moments
    pairs: Sequence[Pair]
    metrics: Sequence[str]
    directions: Sequence[str]
    x: list[dict[str, LayerSplit]]
    y: list[dict[str, LayerSplit]]

    @classmethod
    def of(
        cls, moments: Moments, pairs: Sequence[Pair], metrics: Sequence[str], directions: Sequence[str], pool: Executor
    ) -> Tile:
        def splits(side: Side, end: int) -> list[dict[str, LayerSplit]]:
            names = list(dict.fromkeys(pair[end] for pair in pairs))
            return [
                dict(
                    zip(
                        names,
                        pool.map(lambda name, k=k: layer_split(side, name, moments.counts, k), names),
                        strict=True,
                    )
                )  # type: ignore[misc]
                for k in range(len(moments.counts))
            ]

        return cls(moments, pairs, metrics, directions, splits(moments.x, 0), splits(moments.y, 1))

    @property
    def folds(self) -> range:
        return range(len(self.moments.counts))


@dataclass(frozen=True)
class _Job:
    """Some draws of one pair. ``steps`` of the progress it is worth; ``run`` gives scores by fold."""

    pair: Pair
    draws: range
    work: int
    steps: int
    run: Callable[[], dict[int, _Found]]


def _run(kind: str, jobs: list[_Job], drawn: Drawn, folds: int, pool: Executor, advance: _Advance) -> None:
    """The longest first."""
    jobs.sort(key=lambda job: -job.work)
    for job, future in [(job, pool.submit(job.run)) for job in jobs]:
        for k, found in future.result().items():
            for (metric, direction), numbers in found.items():
                drawn.put(kind, (*job.pair, metric, direction), folds, job.draws, k, numbers)
        if advance is not None:
            advance(job.steps)


def _work(pair: Pair, tile: Tile) -> int:
    n_x, n_y = tile.moments.cross[pair].shape[-2:]
    return n_x * n_y * max(n_x, n_y)


def _batches(draws: range, size: int) -> Iterator[range]:
    return (draws[first : first + size] for first in range(0, len(draws), size))


def draw(
    drawn: Drawn,
    x: Representation,
    y: Representation,
    tile: Tile,
    fold: Tensor,
    *,
    budget: float,
    chunk: int,
    pool: Executor,
    advance: _Advance,
) -> None:
    """Score all draws of a tile's pairs into ``drawn``, as many at a time as fit ``budget`` bytes."""
    for kind, each in _bytes_of_a_draw(x, y, tile.pairs, len(tile.folds)).items():
        size = max(1, int(budget / each))
        if kind == "shuffle" and kind in drawn.null.kinds:
            shuffle(drawn, tile, Permuted(x, y, tile.pairs, fold, tile.moments, chunk), fold, size, pool, advance)
        elif kind in drawn.null.kinds and set(BASIS_BOUND) & set(tile.metrics):
            widest = max(parts.numel() for parts in tile.moments.cross.values())
            rotate(drawn, tile, min(size, max(1, _JOB_BYTES // (_BYTES * widest))), pool, advance)


# ---------------------------------------------------------------- shuffle


def shuffle(
    drawn: Drawn, tile: Tile, permuted: Permuted, fold: Tensor, size: int, pool: Executor, advance: _Advance
) -> None:
    """All draws of the shuffle null, ``size`` of them to a pass over the stimuli."""
    for draws in _batches(range(drawn.null.draws), size):
        cross = permuted.cross([nulls.permutation(fold, drawn.null.seed, draw) for draw in draws], pool)
        jobs = [
            _Job(pair, some, _work(pair, tile), len(some), partial(_shuffled, tile, pair, k, cross[pair], draws, some))
            for pair, k in product(tile.pairs, tile.folds)
            for some in _batches(draws, max(-(-len(draws) // _PIECES), _JOB_WORK // _work(pair, tile)))
        ]
        _run("shuffle", jobs, drawn, len(tile.folds), pool, advance)


def _shuffled(tile: Tile, pair: Pair, k: int, parts: Tensor, draws: range, some: range) -> dict[int, _Found]:
    x, y = tile.x[k][pair[0]], tile.y[k][pair[1]]
    mine = parts[:, some.start - draws.start : some.stop - draws.start]
    cross = pair_split({pair: mine}, pair, x, y, k)

    def dense(weights: Tensor, direction: str) -> scores.Scores:
        if direction == "x->y":
            return scores.dense(weights, x, y, cross.test)
        return scores.dense(weights.mT, y, x, cross.test.mT)

    found = _matched(tile, x, y, cross, tile.directions, dense) | _canonical(tile, x, y, cross)
    if "procrustes" in tile.metrics:
        polar = procrustes.fit(cross.train)
        found |= {("procrustes", d): _numbers(dense(polar, d)) for d in tile.directions}
    if "linear" in tile.metrics:
        for d in tile.directions:
            source, target, train = (x, y, cross.train) if d == "x->y" else (y, x, cross.train.mT)
            # Each draw is a target of its own: one eigendecomposition serves them all, and each has its own penalty.
            maps = torch.stack(linear.fit(source, [target] * len(train), list(train))[0])
            found["linear", d] = _numbers(dense(maps if d == "x->y" else maps.mT, d))
    return {k: found}


def _canonical(tile: Tile, x: LayerSplit, y: LayerSplit, cross: PairSplit) -> _Found:
    """CCA and PWCCA, draw by draw: the layers' eigenvectors are those of the data."""
    wanted = [m for m in ("cca", "pwcca") if m in tile.metrics]
    found: dict[tuple[str, str], list[Tensor]] = {key: [] for key in product(wanted, tile.directions)}
    for train, test in zip(cross.train, cross.test, strict=True) if wanted else ():
        variates = cca.fit(x, y, train)
        r = cca.correlations(variates, x, y, test)
        for metric, direction in found:
            mean = r.mean() if metric == "cca" else cca.weighted(r, variates, x, y, direction)
            found[metric, direction].append(mean)
    nothing = torch.full((len(cross.train), 2), torch.nan, dtype=torch.float64, device=cross.train.device)
    return {key: torch.cat((torch.stack(means)[:, None], nothing), dim=1) for key, means in found.items()}


def _numbers(result: scores.Scores, transport: Tensor | None = None) -> Tensor:
    missing = torch.full_like(result.score, torch.nan)
    return torch.stack((result.score, result.overall, missing if transport is None else transport), dim=-1)


def _matched(
    tile: Tile,
    x: Units,
    y: Units,
    cross: PairSplit,
    directions: Sequence[str],
    dense: Callable[[Tensor, str], scores.Scores],
) -> _Found:
    """The matching metrics, one plan to a draw."""
    spread = x.variance_train.rsqrt()[..., :, None] * y.variance_train.rsqrt()[..., None, :]
    correlation = (cross.train * spread).cpu().numpy()
    n_x, n_y = correlation.shape[-2:]
    plan: tuple[Tensor, Tensor, Tensor] | None = None
    found = {}
    for metric in (m for m in BASIS_BOUND if m in tile.metrics):
        if metric == "permutation" and len(x.live) != len(y.live):
            continue
        in_part = metric == "partial_soft_matching"
        one_to_one = not in_part and (metric == "permutation" or n_x == n_y)
        if plan is None or n_x != n_y or in_part:
            solve = matching.assignment if one_to_one else matching.transport
            solve = partial_matching.transport if in_part else solve
            plan = _stacked([solve(r) for r in correlation], cross.train.device)
        rows, columns, masses = plan
        transport = scores.transported(rows, columns, masses, x, y, cross.test)
        for direction in directions:
            if not one_to_one:
                weights = torch.zeros_like(cross.test).flatten(-2)
                weights = weights.scatter_add_(-1, rows * n_y + columns, masses).view_as(cross.test)
                result = dense(weights, direction)
                if in_part:
                    towards = (weights, y) if direction == "x->y" else (weights.mT, x)
                    result = scores.over_reached(result, *towards)
            elif direction == "x->y":
                result = scores.matched(rows, columns, x, y, cross.test)
            else:
                result = scores.matched(columns, rows, y, x, cross.test.mT)
            found[metric, direction] = _numbers(result, transport)
    return found


def _stacked(plans: Sequence[matching.Plan], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Plans as (B, E); shorter ones are filled up with edges of no mass."""
    shape = (len(plans), max(len(rows) for rows, _, _ in plans))
    stacks = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
    for i, plan in enumerate(plans):
        for stack, part in zip(stacks, plan, strict=True):
            stack[i, : len(part)] = part
    rows, columns, masses = (torch.from_numpy(stack).to(device) for stack in stacks)
    return rows, columns, masses


# ---------------------------------------------------------------- rotation


@dataclass(frozen=True)
class _Turned:
    """The units (B, N) of a layer after rotations of its live units, at one fold."""

    n_train: int
    n_test: int
    live: Tensor
    all_live: bool
    mean_train: Tensor
    mean_test: Tensor
    variance_train: Tensor
    variance_test: Tensor
    varies: Tensor
    ceiling: Tensor | None = None  # of turned units no repeats are known

    @property
    def drift(self) -> Tensor:
        return self.mean_test - self.mean_train


def rotate(drawn: Drawn, tile: Tile, size: int, pool: Executor, advance: _Advance) -> None:
    """All draws of the rotation null, at most ``size`` at a time, of the metrics that a rotation changes."""
    for draws in _batches(range(drawn.null.draws), size):
        jobs = []
        for direction in tile.directions:
            side, splits, end = (tile.moments.x, tile.x, 0) if direction == "x->y" else (tile.moments.y, tile.y, 1)
            layers = {name: [at[name] for at in splits] for name in splits[0]}
            rotations = _rotations(layers, drawn.null.seed, draws, pool)
            turn = partial(_turn, side, layers, rotations)
            turned = dict(zip(layers, pool.map(turn, layers), strict=True))
            for pair in tile.pairs:
                rotate_pair = partial(_rotated, tile, pair, direction, rotations[pair[end]], turned[pair[end]])
                steps = len(draws) * len(tile.folds) if direction == tile.directions[-1] else 0
                jobs.append(_Job(pair, draws, _work(pair, tile), steps, rotate_pair))
        _run("rotation", jobs, drawn, len(tile.folds), pool, advance)


def _rotations(layers: dict[str, list[LayerSplit]], seed: int, draws: range, pool: Executor) -> dict[str, Tensor]:
    """(B, N_all, N_all) for each layer; the same for layers of as many live units."""
    live = {name: torch.stack([at.live for at in splits]).all(dim=0) for name, splits in layers.items()}
    counts = {name: int(mask.sum()) for name, mask in live.items()}
    wanted = list(product(sorted(set(counts.values())), draws))
    made = dict(zip(wanted, pool.map(lambda w: nulls.orthogonal(w[0], seed, w[1]), wanted), strict=True))
    found = {}
    for name, mask in live.items():
        turn = torch.stack([made[counts[name], draw] for draw in draws]).to(mask.device)
        found[name] = turn
        if counts[name] < len(mask):
            places = mask.nonzero()
            found[name] = torch.eye(len(mask), dtype=turn.dtype, device=turn.device).repeat(len(draws), 1, 1)
            found[name][:, places, places.T] = turn
    return found


def _turn(side: Side, layers: dict[str, list[LayerSplit]], rotations: dict[str, Tensor], name: str) -> list[_Turned]:
    """The layer's units after the rotations, at each fold: of QᵀPQ only the diagonal is needed."""
    rotation = rotations[name]
    squares = scores.quadratic(side.products[name][:, None], rotation)
    sums = torch.einsum("kn,bnm->kbm", side.sums[name], rotation)
    shift = torch.einsum("n,bnm->bm", side.shift[name], rotation)
    found = []
    for k, at in enumerate(layers[name]):
        mean, mean_test = others(sums, k) / at.n_train, sums[k] / at.n_test
        train = others(squares, k) - at.n_train * mean.square()
        test = squares[k] - at.n_test * mean_test.square()
        varies = alive(test, at.n_test, mean_test, shift)
        columns = [values[:, at.live] for values in (mean, mean_test, train, test, varies)]
        found.append(_Turned(at.n_train, at.n_test, at.live, at.all_live, *columns))
    return found


def _rotated(tile: Tile, pair: Pair, direction: str, rotation: Tensor, turned: list[_Turned]) -> dict[int, _Found]:
    """Scores of one pair whose source is turned."""
    cross, forward = tile.moments.cross[pair], direction == "x->y"
    parts = rotation.mT @ cross[:, None] if forward else cross[:, None] @ rotation
    found = {}
    for k in tile.folds:
        x, y = tile.x[k][pair[0]], tile.y[k][pair[1]]
        turned_x, turned_y = (turned[k], y) if forward else (x, turned[k])

        def dense(weights: Tensor, _: str, k: int = k, x: LayerSplit = x, y: LayerSplit = y) -> scores.Scores:
            # A map on the turned units is another map on the units themselves.
            live = (x if forward else y).live
            back = rotation[:, live][:, :, live]
            test = held_out_cross({pair: cross}, pair, x, y, k)
            if forward:
                return scores.dense(back @ weights, x, y, test)
            return scores.dense(back @ weights.mT, y, x, test.mT)

        split = pair_split({pair: parts}, pair, turned_x, turned_y, k)
        found[k] = _matched(tile, turned_x, turned_y, split, (direction,), dense)
    return found
