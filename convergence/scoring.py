"""From moments to rows: every pair, fold, metric and direction, within a memory budget.

A tile is a block of layers of either side whose moments fit the budget; each tile is one pass over the stimuli.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence import folds as kfold
from convergence import null_rows, null_scores, unfitted, wide
from convergence.errors import UserError
from convergence.metrics import catalogue, cca, linear, matching, partial_matching, procrustes, scores
from convergence.metrics.catalogue import MEASURES, METRICS
from convergence.moments import Moments, Pair, Representation, Side, accumulate
from convergence.null_scores import Drawn, Tile
from convergence.nulls import Null
from convergence.splits import LayerSplit, PairSplit, held_out_cross, layer_split, pair_split, with_held_out

DIRECTIONS = {"both": ("x->y", "y->x"), "forward": ("x->y",), "backward": ("y->x",)}
COLUMNS = [
    *("layer_x", "layer_y", "metric", "direction", "fold", "score", "score_global", "score_transport", "penalty"),
    *("n_train", "n_test", "units_x", "units_y", "dead_x", "dead_y"),
]
_BYTES = 8  # of a float64


def score(
    x: Representation,
    y: Representation,
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str] = METRICS,
    folds: int = 5,
    seed: int = 42,
    directions: str = "both",
    device: torch.device | str = "cpu",
    memory_gb: float = 2.0,
    chunk: int | None = None,
    advance: Callable[[int], None] | None = None,
    null: Null | None = None,
) -> pd.DataFrame:
    """Held-out scores of all ``pairs`` of layers, the columns ``COLUMNS``, in the order of ``pairs``.

    With ``null`` also rows of chance, and its columns (:mod:`convergence.null_rows`). ``advance(n)`` is told of every n
    pairs done on one fold, of the data and of each draw. ``chunk`` (stimuli read at a time) follows from the budget if
    None.

    Raises
    ------
    UserError
        If x and y have different stimuli, a response is not finite, folds are too small, or no pair can be scored.
    """
    options = _Options(metrics, folds, seed, directions, torch.device(device), memory_gb, chunk, advance, null)
    return _score(x, y, (), pairs, options)[0]


def transfer(
    x: Representation,
    y: Representation,
    others: Sequence[tuple[Representation, Representation]],
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str] = METRICS,
    folds: int = 5,
    seed: int = 42,
    directions: str = "both",
    device: torch.device | str = "cpu",
    memory_gb: float = 2.0,
    advance: Callable[[int], None] | None = None,
) -> list[pd.DataFrame]:
    """Maps fitted on x and y as in :func:`score`, scored on the held-out fold of other responses: a table for each.

    Parameters
    ----------
    others : responses of the same two networks to as many other stimuli, such as the same images distorted. The i-th
        of them is held out with the i-th of x and y, so that a distorted image never meets a map that saw it clean.

    Raises
    ------
    UserError
        As :func:`score`, and if the numbers of stimuli differ.
    """
    options = _Options(metrics, folds, seed, directions, torch.device(device), memory_gb, None, advance)
    return _score(x, y, others, pairs, options)


@dataclass(frozen=True)
class _Options:
    metrics: Sequence[str]
    folds: int
    seed: int
    directions: str
    device: torch.device
    memory_gb: float
    chunk: int | None
    advance: Callable[[int], None] | None
    null: Null | None = None


def _score(
    x: Representation,
    y: Representation,
    others: Sequence[tuple[Representation, Representation]],
    pairs: Sequence[Pair],
    options: _Options,
) -> list[pd.DataFrame]:
    """A table for each of ``others``, or the one of x and y themselves."""
    if x.rows != y.rows:
        raise UserError(f"x has {x.rows} stimuli and y has {y.rows}: both must see the same ones, in one order.")
    for side in (side for both in others for side in both):
        if side.rows != x.rows:
            raise UserError(f"maps from {x.rows} stimuli can't be scored by folds on {side.rows} others: give as many.")
    metrics = options.metrics
    fold = kfold.assign(x.rows, options.folds, options.seed)
    catalogue.check(metrics, x.rows, options.folds)
    applicable = [p for p in pairs if _applies(x, y, p, metrics)]
    if pairs and not applicable:
        raise UserError(_why_none(x, y, pairs, metrics))
    with_fit, without = ([m for m in metrics if MEASURES[m].fitted is kind] for kind in (True, False))
    drawn = Drawn(options.null) if options.null else None
    parts = [
        *_fitted(x, y, others, [p for p in applicable if _applies(x, y, p, with_fit)], fold, with_fit, options, drawn),
        *_read_off(x, y, others, [p for p in applicable if _applies(x, y, p, without)], fold, without, options, drawn),
    ]
    tables = [[part[i] for part in parts] for i in range(len(others) or 1)]
    if drawn is not None:
        tables[0].append(null_rows.rows(pd.concat(tables[0]), drawn))
    return [_ordered(table, applicable) for table in tables]


def _fitted(
    x: Representation,
    y: Representation,
    others: Sequence[tuple[Representation, Representation]],
    pairs: Sequence[Pair],
    fold: Tensor,
    metrics: Sequence[str],
    options: _Options,
    drawn: Drawn | None,
) -> Iterator[list[pd.DataFrame]]:
    """From moments: for each tile a table for each of the held-out sets."""
    budget, directions = options.memory_gb * 2**30, DIRECTIONS[options.directions]

    def kept(block: Sequence[Pair]) -> float:
        return null_scores.keeps(x, y, block, options.folds, drawn.null) if drawn is not None else 0.0

    def cost(block: Sequence[Pair]) -> float:
        return (1 + len(others)) * bytes_of_moments(x.layers, y.layers, block, options.folds) + kept(block)

    # Draws of chance and other stimuli are scored by moments alone.
    plain = not others and drawn is None
    by_gram = [
        (a, b)
        for a, b in pairs
        if plain and x.positions[a] == 1 and wide.applies((x.layers[a], y.layers[b]), x.rows, metrics)
    ]
    if by_gram:
        more: Any = {"device": options.device, "budget": budget, "advance": options.advance}
        yield [wide.score(x, y, by_gram, fold, metrics=metrics, directions=directions, **more)]  # type: ignore[arg-type]
    by_moments = [p for p in pairs if p not in set(by_gram)]
    for tile in _tiles(x, y, by_moments, cost, budget):
        step = options.chunk or _chunk(x, y, tile, budget)
        moments = accumulate(x, y, tile, fold, device=options.device, chunk=step)
        held_out = [accumulate(a, b, tile, fold, device=options.device, chunk=step, origin=moments) for a, b in others]
        yield _score_tile(moments, held_out or [moments], tile, metrics, directions, options.advance)
        if drawn is not None:
            left, advance = budget - cost(tile), options.advance
            with _workers() as pool:
                drawing = Tile.of(moments, tile, metrics, directions, pool)
                null_scores.draw(drawn, x, y, drawing, fold, budget=left, chunk=step, pool=pool, advance=advance)


def _read_off(
    x: Representation,
    y: Representation,
    others: Sequence[tuple[Representation, Representation]],
    pairs: Sequence[Pair],
    fold: Tensor,
    metrics: Sequence[str],
    options: _Options,
    drawn: Drawn | None,
) -> Iterator[list[pd.DataFrame]]:
    """From the stimuli of the held-out fold alone: for each tile a table for each of the held-out sets."""
    budget, directions = options.memory_gb * 2**30, DIRECTIONS[options.directions]
    n = math.ceil(x.rows / options.folds)

    def cost(block: Sequence[Pair]) -> float:
        return unfitted.cost(x.layers, y.layers, block, n * x.positions[block[0][0]], metrics)

    for tile in _tiles(x, y, pairs, cost, budget):
        tables: list[pd.DataFrame] = []
        for a, b in others or [(x, y)]:
            rows = unfitted.score_tile(
                *(a, b, tile, fold, metrics, directions, drawn),
                device=options.device,
                chunk=options.chunk or _chunk(x, y, tile, budget),
                advance=options.advance if not tables else None,
            )
            tables.append(_sorted(pd.DataFrame(rows)))
        yield tables


def _ordered(parts: list[pd.DataFrame], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One table of all tiles, in the order of the pairs."""
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    place = {pair: i for i, pair in enumerate(pairs)}
    where = [place[pair] for pair in zip(table.layer_x, table.layer_y, strict=True)]
    return table.iloc[np.argsort(where, kind="stable")].reset_index(drop=True)


def _applies(x: Representation, y: Representation, pair: Pair, metrics: Sequence[str]) -> bool:
    """Whether any of the metrics applies to the pair."""
    (a, b), positions = pair, x.positions[pair[0]]
    if positions != y.positions[b]:
        return False
    return any(MEASURES[m].applies(x.layers[a], y.layers[b], positions) for m in metrics)


def rounds_of(metrics: Sequence[str], null: Null | None) -> int:
    """How often ``advance`` is told of each pair and fold: with a fit and without, of the data and of each draw."""
    with_fit, without = ([m for m in metrics if MEASURES[m].fitted is kind] for kind in (True, False))
    rounds = 0
    if with_fit:
        rounds += null.rounds(with_fit) if null else 1
    if without:
        rounds += 1 + (null.draws if null and "shuffle" in null.kinds else 0)
    return rounds


def _why_none(x: Representation, y: Representation, pairs: Sequence[Pair], metrics: Sequence[str]) -> str:
    if all(x.positions[a] != y.positions[b] for a, b in pairs):
        return "no pair of layers has the same number of positions: use units=center or units=mean."
    if any(MEASURES[m].single_position for m in metrics):
        return (
            f"{', '.join(metrics)} can't compare stimuli that have several samples each: use units=center, units=mean "
            "or units=flatten."
        )
    return (
        "permutation needs layers of equal width and no pair of layers has that: "
        "use soft_matching, its extension to unequal widths."
    )


# ---------------------------------------------------------------- tiles


def bytes_of_moments(
    widths_x: Mapping[str, int], widths_y: Mapping[str, int], pairs: Sequence[Pair], folds: int
) -> float:
    """Peak of one tile and one set of stimuli: moments, the statistics of a fold, the scratch of one linear fit."""
    within = sum(widths_x[a] ** 2 for a in {a for a, _ in pairs})
    within += sum(widths_y[b] ** 2 for b in {b for _, b in pairs})
    cross = sum(widths_x[a] * widths_y[b] for a, b in pairs)
    return _BYTES * ((folds + 4) * within + (folds + 3) * cross)


def _tiles(
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
            a, b = block[0]
            raise UserError(
                f"scoring {a} × {b} ({x.layers[a]:,} × {y.layers[b]:,} units) takes {cost / 2**30:.1f} GiB, more "
                f"than memory_gb={budget / 2**30:g}: raise it, or keep fewer units; linear and "
                "procrustes alone (metric.names) take more units than stimuli without them."
            )
        waiting += _halves(x, y, block)


def _halves(x: Representation, y: Representation, block: list[Pair]) -> list[list[Pair]]:
    names_x, names_y = list(dict.fromkeys(a for a, _ in block)), list(dict.fromkeys(b for _, b in block))
    wider_x = sum(x.layers[a] for a in names_x) >= sum(y.layers[b] for b in names_y)
    side = 0 if len(names_y) == 1 or (wider_x and len(names_x) > 1) else 1
    names, widths = (names_x, x.layers) if side == 0 else (names_y, y.layers)
    ends = np.cumsum([widths[n] for n in names])
    cut = min(max(1, int(np.searchsorted(ends, ends[-1] / 2, side="right"))), len(names) - 1)
    first = set(names[:cut])
    return [[p for p in block if p[side] not in first], [p for p in block if p[side] in first]]


def _chunk(x: Representation, y: Representation, tile: Sequence[Pair], budget: float) -> int:
    """Stimuli read at a time: as read, sorted and in float64, they take a quarter of the budget, at most 256 MiB."""
    width = sum(x.layers[a] * x.positions[a] for a in {a for a, _ in tile})
    width += sum(y.layers[b] * y.positions[b] for b in {b for _, b in tile})
    return max(1, int(min(budget / 4, 2**28) / (2 * _BYTES * width)))


# ---------------------------------------------------------------- one tile


@dataclass(frozen=True)
class _Row:
    """Keys of a row, which of the held-out sets it is of, and its three scores, which stay on the device so far."""

    key: dict[str, Any]
    held_out: int
    numbers: Tensor


def _score_tile(
    moments: Moments,
    held_out: Sequence[Moments],
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    directions: Sequence[str],
    advance: Callable[[int], None] | None,
) -> list[pd.DataFrame]:
    """Fitted on ``moments``, scored on each of ``held_out``: a table for each."""
    rows: list[_Row] = []
    with _workers() as pool:
        for k in range(len(moments.counts)):
            rows += _Fold(moments, held_out, pairs, k, directions, pool).score(metrics)
            if advance is not None:
                advance(len(pairs))
    return [_table([row for row in rows if row.held_out == i]) for i in range(len(held_out))]


def _table(rows: Sequence[_Row]) -> pd.DataFrame:
    table = pd.DataFrame([row.key for row in rows])
    numbers = torch.stack([row.numbers for row in rows]).cpu().numpy()
    table[["score", "score_global", "score_transport"]] = numbers
    return _sorted(table)


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    order = {name: i for i, name in enumerate(MEASURES)}
    return table.reindex(columns=COLUMNS).sort_values(
        ["layer_x", "layer_y", "metric", "direction", "fold"],
        key=lambda column: column.map(order) if column.name == "metric" else column,
    )


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch may use, each with one: decompositions side by side beat threads inside of one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max_workers=threads) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _HeldOut:
    """What a fitted map is scored on: the layers with their held-out statistics, and the held-out cross scatters."""

    x: dict[str, LayerSplit]
    y: dict[str, LayerSplit]
    cross: dict[Pair, Tensor]


class _Fold:
    """One fold held out: its statistics, and the rows of all pairs."""

    def __init__(
        self,
        moments: Moments,
        held_out: Sequence[Moments],
        pairs: Sequence[Pair],
        k: int,
        directions: Sequence[str],
        pool: ThreadPoolExecutor,
    ) -> None:
        self.pairs, self.k, self.directions, self.pool = pairs, k, directions, pool

        def layers(side: Side, names: Iterable[str]) -> dict[str, LayerSplit]:
            unique = list(dict.fromkeys(names))
            return dict(
                zip(
                    unique,
                    pool.map(lambda name: layer_split(side, name, moments.counts, k), unique),
                    strict=True,
                )
            )

        self.x = layers(moments.x, (a for a, _ in pairs))
        self.y = layers(moments.y, (b for _, b in pairs))

        def cross(pair: Pair) -> PairSplit:
            return pair_split(moments.cross, pair, self.x[pair[0]], self.y[pair[1]], k)

        self.cross = dict(zip(pairs, pool.map(cross, pairs), strict=True))
        self.held_out = [self._held_out(m) if m is not moments else self._own() for m in held_out]

    def _own(self) -> _HeldOut:
        return _HeldOut(self.x, self.y, {pair: split.test for pair, split in self.cross.items()})

    def _held_out(self, moments: Moments) -> _HeldOut:
        x, y = (
            {name: with_held_out(split, side, name, moments.counts, self.k) for name, split in splits.items()}
            for side, splits in ((moments.x, self.x), (moments.y, self.y))
        )
        return _HeldOut(
            x, y, {(a, b): held_out_cross(moments.cross, (a, b), x[a], y[b], self.k) for a, b in self.pairs}
        )

    def score(self, metrics: Sequence[str]) -> list[_Row]:
        jobs: list[tuple[int, Callable[[], list[_Row]]]] = []
        if {"permutation", "soft_matching"} & set(metrics):
            jobs += [(self._work(p), partial(self._matching, p, metrics)) for p in self.pairs]
        if "procrustes" in metrics:
            jobs += [(self._work(p), partial(self._procrustes, p)) for p in self.pairs]
        if "partial_soft_matching" in metrics:
            jobs += [(self._work(p), partial(self._partial, p)) for p in self.pairs]
        if {"cca", "pwcca"} & set(metrics):
            jobs += [(self._work(p), partial(self._canonical, p, metrics)) for p in self.pairs]
        if "linear" in metrics:
            for side, direction in enumerate(("x->y", "y->x")):
                if direction in self.directions:
                    for name, partners in _grouped(self.pairs, side).items():
                        work = sum(self._work(p) for p in partners)
                        jobs.append((work, partial(self._linear, name, partners, direction)))
        # The longest first, so that no thread is left alone with one at the end.
        jobs.sort(key=lambda job: -job[0])
        futures = [self.pool.submit(job) for _, job in jobs]
        return [row for future in futures for row in future.result()]

    def _work(self, pair: Pair) -> int:
        n_x, n_y = self.cross[pair].train.shape
        return n_x * n_y * max(n_x, n_y)

    def _row(
        self,
        i: int,
        pair: Pair,
        metric: str,
        direction: str,
        result: scores.Scores,
        transport: Tensor | None = None,
        penalty: float = math.nan,
    ) -> _Row:
        x, y = self.held_out[i].x[pair[0]], self.held_out[i].y[pair[1]]
        key = {
            "layer_x": pair[0],
            "layer_y": pair[1],
            "metric": metric,
            "direction": direction,
            "fold": self.k,
            "penalty": penalty,
            "n_train": x.n_train,
            "n_test": x.n_test,
            "units_x": len(x.live),
            "units_y": len(y.live),
            "dead_x": x.dead,
            "dead_y": y.dead,
        }
        missing = torch.full_like(result.score, torch.nan)
        return _Row(key, i, torch.stack((result.score, result.overall, missing if transport is None else transport)))

    def _linear(self, name: str, pairs: Sequence[Pair], direction: str) -> list[_Row]:
        """All targets of one source: its eigendecomposition serves them all."""
        forward = direction == "x->y"
        source = (self.x if forward else self.y)[name]
        targets = [self.y[b] if forward else self.x[a] for a, b in pairs]
        cross = [self.cross[p].train if forward else self.cross[p].train.T for p in pairs]
        maps, penalties = linear.fit(source, targets, cross)
        return [
            self._row(i, pair, "linear", direction, self._dense(held_out, pair, weights, direction), penalty=penalty)
            for pair, weights, penalty in zip(pairs, maps, penalties, strict=True)
            for i, held_out in enumerate(self.held_out)
        ]

    def _procrustes(self, pair: Pair) -> list[_Row]:
        weights = procrustes.fit(self.cross[pair].train)
        return [
            self._row(i, pair, "procrustes", direction, result)
            for i, held_out in enumerate(self.held_out)
            for direction, result in self._both_ways(held_out, pair, weights)
        ]

    def _dense(self, held_out: _HeldOut, pair: Pair, weights: Tensor, direction: str) -> scores.Scores:
        x, y, cross = held_out.x[pair[0]], held_out.y[pair[1]], held_out.cross[pair]
        return scores.dense(weights, x, y, cross) if direction == "x->y" else scores.dense(weights, y, x, cross.T)

    def _both_ways(self, held_out: _HeldOut, pair: Pair, weights: Tensor) -> Iterator[tuple[str, scores.Scores]]:
        """Scores of a map, and of its transpose in the other direction."""
        for direction in self.directions:
            oriented = weights if direction == "x->y" else weights.T
            yield direction, self._dense(held_out, pair, oriented, direction)

    def _matching(self, pair: Pair, metrics: Sequence[str]) -> list[_Row]:
        """Permutation and soft matching from one correlation matrix; the same plan where they are the same."""
        x, y, cross = self.x[pair[0]], self.y[pair[1]], self.cross[pair].train
        correlation = self._correlation(pair)
        rows = []
        same_live = len(x.varies) == len(y.varies)
        plan = matching.assignment(correlation) if same_live else None
        for metric in ("permutation", "soft_matching"):
            if metric not in metrics or (metric == "permutation" and len(x.live) != len(y.live)):
                continue
            one_to_one = metric == "permutation" or same_live
            if not same_live:
                plan = (matching.assignment if one_to_one else matching.transport)(correlation)
            assert plan is not None
            on_device = tuple(torch.from_numpy(part).to(cross.device) for part in plan)
            for i, held_out in enumerate(self.held_out):
                rows += self._matched(i, held_out, pair, metric, on_device, one_to_one)
        return rows

    def _correlation(self, pair: Pair) -> NDArray[np.float64]:
        """(N_x, N_y) training correlations of the units."""
        x, y, cross = self.x[pair[0]], self.y[pair[1]], self.cross[pair].train
        spread = torch.outer(x.variance_train.rsqrt(), y.variance_train.rsqrt())
        return (cross * spread).cpu().numpy()

    def _partial(self, pair: Pair) -> list[_Row]:
        train = self.cross[pair].train
        left, right, masses = (
            torch.from_numpy(part).to(train.device) for part in partial_matching.transport(self._correlation(pair))
        )
        plan = torch.zeros_like(train).index_put_((left, right), masses, accumulate=True)
        rows = []
        for i, held_out in enumerate(self.held_out):
            x, y = held_out.x[pair[0]], held_out.y[pair[1]]
            transport = scores.transported(left, right, masses, x, y, held_out.cross[pair])
            for direction, result in self._both_ways(held_out, pair, plan):
                towards = (plan, y) if direction == "x->y" else (plan.T, x)
                result = scores.over_reached(result, *towards)
                rows.append(self._row(i, pair, "partial_soft_matching", direction, result, transport))
        return rows

    def _canonical(self, pair: Pair, metrics: Sequence[str]) -> list[_Row]:
        """CCA and PWCCA from one decomposition."""
        x, y = self.x[pair[0]], self.y[pair[1]]
        variates = cca.fit(x, y, self.cross[pair].train)
        rows = []
        for i, held_out in enumerate(self.held_out):
            r = cca.correlations(variates, held_out.x[pair[0]], held_out.y[pair[1]], held_out.cross[pair])
            missing = torch.full_like(r.sum(), torch.nan)
            for direction in self.directions:
                found = {"cca": r.mean(), "pwcca": cca.weighted(r, variates, x, y, direction)}
                rows += [
                    self._row(i, pair, metric, direction, scores.Scores(found[metric], missing))
                    for metric in found
                    if metric in metrics
                ]
        return rows

    def _matched(
        self, i: int, held_out: _HeldOut, pair: Pair, metric: str, plan: tuple[Tensor, ...], one_to_one: bool
    ) -> list[_Row]:
        """Rows of one plan (rows, columns, masses)."""
        x, y, cross = held_out.x[pair[0]], held_out.y[pair[1]], held_out.cross[pair]
        left, right, masses = plan
        transport = scores.transported(left, right, masses, x, y, cross)
        if one_to_one:
            both = {
                "x->y": lambda: scores.matched(left, right, x, y, cross),
                "y->x": lambda: scores.matched(right, left, y, x, cross.T),
            }
            found = [(direction, both[direction]()) for direction in self.directions]
        else:
            weights = torch.zeros_like(cross).index_put_((left, right), masses, accumulate=True)
            found = list(self._both_ways(held_out, pair, weights))
        return [self._row(i, pair, metric, direction, result, transport) for direction, result in found]


def _grouped(pairs: Sequence[Pair], side: int) -> dict[str, list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair[side], []).append(pair)
    return groups
