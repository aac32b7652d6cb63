"""From moments to rows: every pair, fold, metric and direction, within a memory budget.

A tile is a block of layers of either side whose moments fit the budget; each tile is one pass over the stimuli.
"""

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
from torch import Tensor

from convergence import folds as kfold
from convergence.errors import UserError
from convergence.metrics import linear, matching, procrustes, scores
from convergence.moments import Moments, Pair, Representation, Side, accumulate
from convergence.splits import LayerSplit, PairSplit, layer_split, pair_split

METRICS = ("linear", "procrustes", "permutation", "soft_matching")
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
) -> pd.DataFrame:
    """Held-out scores of all ``pairs`` of layers, the columns ``COLUMNS``, in the order of ``pairs``.

    ``advance(n)`` is told of every n pairs done on one fold. ``chunk`` (stimuli read at a time) follows from the
    budget if None.

    Raises
    ------
    UserError
        If x and y have different stimuli, a response is not finite, folds are too small, or no pair can be scored.
    """
    if x.rows != y.rows:
        raise UserError(f"x has {x.rows} stimuli and y has {y.rows}: both must see the same ones, in one order.")
    fold = kfold.assign(x.rows, folds, seed)
    applicable = [p for p in pairs if _applies(x, y, p, metrics)]
    if pairs and not applicable:
        raise UserError(_why_none(x, y, pairs))
    device = torch.device(device)
    tables = []
    for tile in _tiles(x, y, applicable, folds, memory_gb * 2**30):
        step = chunk or _chunk(x, y, tile, memory_gb * 2**30)
        moments = accumulate(x, y, tile, fold, device=device, chunk=step)
        tables.append(_score_tile(moments, tile, metrics, DIRECTIONS[directions], advance))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    place = {pair: i for i, pair in enumerate(applicable)}
    where = [place[pair] for pair in zip(table.layer_x, table.layer_y, strict=True)]
    return table.iloc[np.argsort(where, kind="stable")].reset_index(drop=True)


def _applies(x: Representation, y: Representation, pair: Pair, metrics: Sequence[str]) -> bool:
    if x.positions[pair[0]] != y.positions[pair[1]]:
        return False
    return set(metrics) != {"permutation"} or x.layers[pair[0]] == y.layers[pair[1]]


def _why_none(x: Representation, y: Representation, pairs: Sequence[Pair]) -> str:
    if all(x.positions[a] != y.positions[b] for a, b in pairs):
        return "no pair of layers has the same number of positions: use units=center or units=mean."
    return (
        "permutation needs layers of equal width and no pair of layers has that: "
        "use soft_matching, its extension to unequal widths."
    )


# ---------------------------------------------------------------- tiles


def _cost(x: Representation, y: Representation, pairs: Sequence[Pair], folds: int) -> float:
    """Peak bytes of a tile: its moments, the statistics of one fold, and the scratch of one linear fit."""
    within = sum(x.layers[a] ** 2 for a in {a for a, _ in pairs})
    within += sum(y.layers[b] ** 2 for b in {b for _, b in pairs})
    cross = sum(x.layers[a] * y.layers[b] for a, b in pairs)
    return _BYTES * ((folds + 4) * within + (folds + 3) * cross)


def _tiles(
    x: Representation, y: Representation, pairs: Sequence[Pair], folds: int, budget: float
) -> Iterator[list[Pair]]:
    """Cut the pairs into blocks of neighbouring layers, as square as the budget asks."""
    by_positions: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_positions.setdefault(x.positions[pair[0]], []).append(pair)
    waiting = list(by_positions.values())[::-1]
    while waiting:
        block = waiting.pop()
        cost = _cost(x, y, block, folds)
        if cost <= budget:
            yield block
            continue
        if len(block) == 1:
            a, b = block[0]
            raise UserError(
                f"the moments of {a} × {b} ({x.layers[a]:,} × {y.layers[b]:,} units) take {cost / 2**30:.1f} GiB, more "
                f"than memory_gb={budget / 2**30:g}: raise it, or keep fewer units."
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
    """Keys of a row, and its three scores, which stay on the device until the end."""

    key: dict[str, Any]
    numbers: Tensor


def _score_tile(
    moments: Moments,
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    directions: Sequence[str],
    advance: Callable[[int], None] | None,
) -> pd.DataFrame:
    rows: list[_Row] = []
    with _workers() as pool:
        for k in range(len(moments.counts)):
            rows += _Fold(moments, pairs, k, directions, pool).score(metrics)
            if advance is not None:
                advance(len(pairs))
    table = pd.DataFrame([row.key for row in rows])
    numbers = torch.stack([row.numbers for row in rows]).cpu().numpy()
    table[["score", "score_global", "score_transport"]] = numbers
    order = {name: i for i, name in enumerate(METRICS)}
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


class _Fold:
    """One fold held out: its statistics, and the rows of all pairs."""

    def __init__(
        self,
        moments: Moments,
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

    def score(self, metrics: Sequence[str]) -> list[_Row]:
        jobs: list[tuple[int, Callable[[], list[_Row]]]] = []
        if {"permutation", "soft_matching"} & set(metrics):
            jobs += [(self._work(p), partial(self._matching, p, metrics)) for p in self.pairs]
        if "procrustes" in metrics:
            jobs += [(self._work(p), partial(self._procrustes, p)) for p in self.pairs]
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
        pair: Pair,
        metric: str,
        direction: str,
        result: scores.Scores,
        transport: Tensor | None = None,
        penalty: float = math.nan,
    ) -> _Row:
        x, y = self.x[pair[0]], self.y[pair[1]]
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
        return _Row(key, torch.stack((result.score, result.overall, missing if transport is None else transport)))

    def _linear(self, name: str, pairs: Sequence[Pair], direction: str) -> list[_Row]:
        """All targets of one source: its eigendecomposition serves them all."""
        forward = direction == "x->y"
        source = (self.x if forward else self.y)[name]
        targets = [self.y[b] if forward else self.x[a] for a, b in pairs]
        cross = [self.cross[p] if forward else self.cross[p].transposed for p in pairs]
        maps, penalties = linear.fit(source, targets, [c.train for c in cross])
        return [
            self._row(p, "linear", direction, scores.dense(w, source, target, c.test), penalty=penalty)
            for p, w, penalty, target, c in zip(pairs, maps, penalties, targets, cross, strict=True)
        ]

    def _procrustes(self, pair: Pair) -> list[_Row]:
        weights = procrustes.fit(self.cross[pair].train)
        return [self._row(pair, "procrustes", d, s) for d, s in self._both_ways(pair, weights)]

    def _both_ways(self, pair: Pair, weights: Tensor) -> Iterator[tuple[str, scores.Scores]]:
        """Scores of a map, and of its transpose in the other direction."""
        x, y, cross = self.x[pair[0]], self.y[pair[1]], self.cross[pair].test
        if "x->y" in self.directions:
            yield "x->y", scores.dense(weights, x, y, cross)
        if "y->x" in self.directions:
            yield "y->x", scores.dense(weights.T, y, x, cross.T)

    def _matching(self, pair: Pair, metrics: Sequence[str]) -> list[_Row]:
        """Permutation and soft matching from one correlation matrix; the same plan where they are the same."""
        x, y, cross = self.x[pair[0]], self.y[pair[1]], self.cross[pair]
        spread = torch.outer(x.variance_train.rsqrt(), y.variance_train.rsqrt())
        correlation = (cross.train * spread).cpu().numpy()
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
            left, right, masses = (torch.from_numpy(part).to(cross.test.device) for part in plan)
            transport = scores.transported(left, right, masses, x, y, cross.test)
            if one_to_one:
                found = self._matched(left, right, x, y, cross.test)
            else:
                weights = torch.zeros_like(cross.test).index_put_((left, right), masses, accumulate=True)
                found = dict(self._both_ways(pair, weights))
            rows += [self._row(pair, metric, d, s, transport=transport) for d, s in found.items()]
        return rows

    def _matched(
        self, left: Tensor, right: Tensor, x: LayerSplit, y: LayerSplit, cross: Tensor
    ) -> dict[str, scores.Scores]:
        found = {}
        if "x->y" in self.directions:
            found["x->y"] = scores.matched(left, right, x, y, cross)
        if "y->x" in self.directions:
            found["y->x"] = scores.matched(right, left, y, x, cross.T)
        return found


def _grouped(pairs: Sequence[Pair], side: int) -> dict[str, list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair[side], []).append(pair)
    return groups
