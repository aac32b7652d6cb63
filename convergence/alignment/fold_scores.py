"""The rows of one tile: every pair, fold, metric and direction, maps fitted from its moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
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

from convergence.alignment.metrics import canonical as cca
from convergence.alignment.metrics import linear, matching, procrustes, scores
from convergence.alignment.metrics import partial_soft_matching as partial_matching
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.moments.accumulate import Moments, Pair, Side
from convergence.alignment.moments.splits import (
    LayerSplit,
    PairSplit,
    held_out_cross,
    layer_split,
    pair_split,
    with_held_out,
)

COLUMNS = [
    *("layer_x", "layer_y", "metric", "direction", "fold", "score", "score_global", "score_transport", "penalty"),
    *("n_train", "n_test", "units_x", "units_y", "dead_x", "dead_y"),
]
CORRECTED = "score_corrected"  # a further column, where a target's responses were repeated


@dataclass(frozen=True)
class _Row:
    """Keys of a row, which of the held-out sets it is of, and its scores, which stay on the device so far."""

    key: dict[str, Any]
    held_out: int
    numbers: Tensor


def score_tile(
    moments: Moments,
    held_out: Sequence[Moments],
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    directions: Sequence[str],
    advance: Callable[[int], None] | None,
) -> list[pd.DataFrame]:
    """Fitted on ``moments``, scored on each of ``held_out``: a table for each."""
    rows: list[_Row] = []
    with workers() as pool:
        for k in range(len(moments.counts)):
            rows += Fold(moments, held_out, pairs, k, directions, pool).score(metrics)
            if advance is not None:
                advance(len(pairs))
    return [_table([row for row in rows if row.held_out == i]) for i in range(len(held_out))]


def _table(rows: Sequence[_Row]) -> pd.DataFrame:
    table = pd.DataFrame([row.key for row in rows])
    numbers = torch.stack([row.numbers for row in rows]).cpu().numpy()
    table[["score", "score_global", "score_transport"]] = numbers[:, :3]
    if not np.isnan(numbers[:, 3]).all():
        table[CORRECTED] = numbers[:, 3]
    return ordered_rows(table)


def ordered_rows(table: pd.DataFrame) -> pd.DataFrame:
    """In the columns and the order that all tables of scores have."""
    order = {name: i for i, name in enumerate(MEASURES)}
    return table.reindex(columns=[*COLUMNS, *({CORRECTED} & {*table})]).sort_values(
        ["layer_x", "layer_y", "metric", "direction", "fold"],
        key=lambda column: column.map(order) if column.name == "metric" else column,
    )


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
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


class Fold:
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
        optional = [missing if one is None else one for one in (transport, result.corrected)]
        return _Row(key, i, torch.stack((result.score, result.overall, *optional)))

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
