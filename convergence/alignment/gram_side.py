"""Scores of pairs in which a layer has more units than there are stimuli, by Gram matrices.

Per fold, layers are reduced to coordinates along their own principal directions, no more than there are training
stimuli; maps are fitted from these as from units, since what is fitted here ignores rotations. A map is then a
matrix P (held-out × training stimuli); predictions P Y are made for blocks of target units, scored and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from convergence.alignment.chance import null as nulls
from convergence.alignment.chance.drawn import Drawn
from convergence.alignment.metrics.catalogue import find
from convergence.alignment.metrics.metric import Metric, Training
from convergence.alignment.metrics.scores import Sums, summed
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.moments.grams import Gram, Reduced, accumulate, blocks, reduced
from convergence.alignment.moments.statistics import HeldOutUnits
from convergence.alignment.reliability import ceilings
from convergence.alignment.request import Request
from convergence.alignment.rows import NUMBERS, in_catalogue_order
from convergence.system.errors import UserError

_BYTES = 8  # of a float64
_Advance = Callable[[int], None] | None


def applies(widths: tuple[int, int], positions: int, rows: int, metrics: Sequence[str]) -> bool:
    """Whether a pair can be scored from this side: more units than stimuli, and metrics that Gram matrices can fit.

    Units that are read at several positions of an image have as many samples, and go by moments.
    """
    return positions == 1 and max(widths) > rows and bool(metrics) and all(find(metric).gram for metric in metrics)


def score(
    request: Request, pairs: Sequence[Pair], metrics: Sequence[Metric], advance: _Advance = None
) -> list[pd.DataFrame]:
    """Held-out scores of pairs of layers, in no order: a table for each of the sets that maps are scored on.

    Raises
    ------
    UserError
        If a pair's Gram matrices take more than the budget.
    """
    tables: list[list[pd.DataFrame]] = [[] for _ in request.held_out]
    maps, fold, drawn = len(metrics) * len(request.directions), request.fold, request.drawn
    for tile in _tiles(pairs, len(fold), maps, len(request.sets), int(fold.max()) + 1, request.budget):
        working = _Tile(request, tile, metrics)
        for i, table in enumerate(working.observed(advance)):
            tables[i].append(table)
        if drawn is not None and "shuffle" in drawn.null.kinds:
            working.shuffle(drawn, advance)
    return [in_catalogue_order(pd.concat(parts, ignore_index=True)) for parts in tables]


def cost(pairs: Sequence[Pair], rows: int, maps: int, sets: int = 1, folds: int = 5) -> float:
    """Peak bytes: Gram matrices and coordinates at every fold of each layer, and each map of all folds."""
    layers = len({a for a, _ in pairs}) + len({b for _, b in pairs})
    return _BYTES * rows**2 * ((folds + sets + 1) * layers + maps * len(pairs) * sets + 2)


def bytes_of_blocks(widths: Iterable[int], rows: int, sets: int, folds: int, budget: float) -> float:
    """Of the units that are read at a time, with their predictions: a quarter of the budget, at most 256 MiB."""
    return min(budget / 4, 2**28, 4 * _BYTES * (rows * sets + -(-rows // folds)) * max(widths, default=0))


def _tiles(pairs: Sequence[Pair], rows: int, maps: int, sets: int, folds: int, budget: float) -> Iterator[list[Pair]]:
    tile: list[Pair] = []
    for pair in pairs:
        alone = cost([pair], rows, maps, sets, folds)
        if alone > budget:
            raise UserError(
                f"{pair[0]} × {pair[1]} have more units than the {rows:,} stimuli, whose Gram matrices take "
                f"{alone / 2**30:.1f} GiB, more than memory_gb={budget / 2**30:g}: raise it, or take fewer stimuli."
            )
        if tile and cost([*tile, pair], rows, maps, sets, folds) > budget:
            yield tile
            tile = []
        tile.append(pair)
    if tile:
        yield tile


@dataclass
class _Map:
    """One pair, metric and direction: per fold P (V, m, n), penalty and sums of V variants."""

    pair: Pair
    metric: Metric
    direction: str
    predictors: list[Tensor] = field(default_factory=list)
    penalties: list[Tensor | None] = field(default_factory=list)
    sums: list[Sums | None] = field(default_factory=list)

    @property
    def target(self) -> tuple[int, str]:
        """Side and name of the layer that is predicted."""
        side = 1 if self.direction == "x->y" else 0
        return side, self.pair[side]

    def scores(self, k: int) -> Tensor:
        """(V, 6)."""
        sums, penalty = self.sums[k], self.penalties[k]
        assert sums is not None
        found = sums.scores
        shown = None if penalty is None else penalty.flatten().expand_as(found.score)
        return replace(found, penalty=shown).stacked()


class _Tile:
    def __init__(self, request: Request, pairs: list[Pair], metrics: Sequence[Metric]) -> None:
        fold, device = request.fold, request.options.device
        sets: Any = request.sets  # which are read by columns, too
        self.sets, self.pairs, self.fold = sets, pairs, fold.to(device)
        self.device, self.budget = device, request.budget
        self.metrics, self.directions = metrics, request.directions
        self.counts = torch.bincount(fold).tolist()
        self.grams: list[dict[str, Gram]] = [{}, {}]
        ends = ({pair[side] for pair in pairs} for side in range(2))
        self.ceilings = [ceilings(side, names, device) for side, names in zip(sets[0], ends, strict=True)]
        self.reduced: list[dict[str, list[Reduced]]] = [{}, {}]
        for side in range(2):
            sources = [both[side] for both in sets]
            for name in dict.fromkeys(pair[side] for pair in pairs):
                gram = accumulate(sources, name, fold, device=device, width=self._width(1))
                self.grams[side][name] = gram
                self.reduced[side][name] = [reduced(gram, fold, k) for k in range(len(self.counts))]
                gram.products.clear()

    def _width(self, variants: int) -> int:
        """Units of a block: with their predictions they take a quarter of the budget, at most 256 MiB."""
        rows = len(self.fold) * len(self.sets) + variants * max(self.counts)
        return max(1, int(min(self.budget / 4, 2**28) / (4 * _BYTES * rows)))

    def observed(self, advance: _Advance) -> list[pd.DataFrame]:
        """A table for each of the sets."""
        maps = self._fitted(None, advance)
        first = 1 if len(self.sets) > 1 else 0
        self._predict(maps, list(range(first, len(self.sets))))
        return [self._table(maps, i, first + i) for i in range(len(self.sets) - first)]

    def shuffle(self, drawn: Drawn, advance: _Advance) -> None:
        """The draws of the null, as many at a time as their maps fit."""
        null, rows = drawn.null, len(self.fold)
        each = _BYTES * rows**2 * len(self.pairs) * len(self.metrics) * len(self.directions)
        size = max(1, int(self.budget / 4 / each))
        for first in range(0, null.draws, size):
            draws = range(first, min(first + size, null.draws))
            orders = [nulls.permutation(self.fold.cpu(), null.seed, draw).to(self.device) for draw in draws]
            maps = self._fitted(orders, advance)
            self._predict(maps, [0])
            for m in maps:
                for k in range(len(self.counts)):
                    numbers = m.scores(k)[None, :, :3].cpu().numpy()
                    drawn.put("shuffle", (*m.pair, m.metric.name, m.direction), len(self.counts), draws, [k], numbers)

    def _fitted(self, orders: list[Tensor] | None, advance: _Advance) -> list[_Map]:
        maps = [_Map(p, m, d) for p in self.pairs for m in self.metrics for d in self.directions]
        for k in range(len(self.counts)):
            within = None if orders is None else [self._within(order, k) for order in orders]
            training: dict[Pair, Training] = {}
            for m in maps:
                x, y = self.reduced[0][m.pair[0]][k], self.reduced[1][m.pair[1]][k]
                if m.pair not in training:
                    left = x.train if within is None else x.train[torch.stack([rest for _, rest in within])]
                    draws = 1 if within is None else len(within)  # spelt out: a layer may have no live unit
                    cross = (left.mT @ y.train).view(1, 1, draws, len(x.values), len(y.values))
                    training[m.pair] = Training(x.units, y.units, cross, torch.ones(1, 1, draws, dtype=torch.bool))
                self._fit(m, training[m.pair], (x, y) if m.direction == "x->y" else (y, x), within)
            if advance is not None:
                advance(len(self.pairs) * (len(orders) if orders else 1))
        return maps

    def _fit(
        self, m: _Map, training: Training, ends: tuple[Reduced, Reduced], within: list[tuple[Tensor, Tensor]] | None
    ) -> None:
        fit = m.metric.fit
        assert fit is not None
        if m.direction == "x->y":
            fitted = training.once(fit)
        else:
            fitted = m.metric.reverse(training.once(fit)) if m.metric.reverse else fit(training.reversed)
        source, target = ends
        back = (target.train / target.values).mT
        weights = fitted.weights[0, 0]  # (V, r_source, r_target)
        if within is None:
            tests = torch.stack(source.tests[1:] or source.tests)
            predictors = tests @ weights @ back
        elif m.direction == "x->y":
            predictors = source.tests[0][torch.stack([held for held, _ in within])] @ weights @ back
        else:
            # The target's stimuli are the ones in another order: here they stay, and the source's go the other way.
            predictors = source.tests[0][torch.stack([held.argsort() for held, _ in within])] @ weights @ back
        m.predictors.append(predictors)
        m.penalties.append(fitted.penalty)
        m.sums.append(None)

    def _within(self, order: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """An order of all stimuli that keeps the folds, as orders of the stimuli of fold ``k`` and of the others."""
        found = []
        for mine in (self.fold == k, self.fold != k):
            members = mine.nonzero()[:, 0]
            found.append(torch.searchsorted(members, order[members]))
        return found[0], found[1]

    def _predict(self, maps: list[_Map], scored: list[int]) -> None:
        """Add up the sums of all maps, over blocks of units of each target layer, on the sets ``scored``."""
        width = self._width(max(len(m.predictors[0]) for m in maps))
        for side in range(2):
            sources = [both[side] for both in self.sets]
            for name, gram in self.grams[side].items():
                mine = [m for m in maps if m.target == (side, name)]
                for where, parts, _ in blocks(sources, name, width, self.device) if mine else ():
                    ceiling = self.ceilings[side][name][where] if name in self.ceilings[side] else None
                    for k in range(len(self.counts)):
                        train, target = self._target(gram, k, where, parts, scored)
                        self._add(mine, k, train, replace(target, ceiling=ceiling))

    def _target(
        self, gram: Gram, k: int, where: slice, parts: list[Tensor], scored: list[int]
    ) -> tuple[Tensor, HeldOutUnits]:
        """Training responses (n, b) to a block of units, and what is held out of them on the sets ``scored``."""
        live = gram.live[k, where]
        train = parts[0][self.fold != k]
        mean = train.mean(dim=0)
        test = torch.stack([(parts[i][self.fold == k] - mean) * live for i in scored])  # (S or 1, m, b)
        shift = test.mean(dim=1)
        about = test - shift[:, None]
        varies = torch.stack([gram.varies[i][k, where] for i in scored])
        n = torch.full((1, 1), self.counts[k], dtype=torch.float64, device=self.device)
        held_out = HeldOutUnits(n, shift + mean, about.square().sum(dim=1), shift, varies, None, responses=about)
        return (train - mean) * live, held_out

    def _add(self, maps: list[_Map], k: int, train: Tensor, target: HeldOutUnits) -> None:
        assert target.responses is not None
        power = train.square().sum(dim=0)
        for m in maps:
            predicted = m.predictors[k] @ train  # (V, m, b)
            moved_by = predicted.mean(dim=1)
            moved = predicted - moved_by[:, None]
            sums = summed(
                covariance=(moved * target.responses).sum(dim=1),
                variance=moved.square().sum(dim=1),
                reach=m.predictors[k].square().sum(dim=(1, 2))[:, None] * power,
                shift=moved_by,
                target=target,
            )
            before = m.sums[k]
            m.sums[k] = sums if before is None else before + sums

    def _table(self, maps: list[_Map], variant: int, scored: int) -> pd.DataFrame:
        """The rows of one set."""
        folds = range(len(self.counts))
        numbers = torch.stack([torch.stack([m.scores(k)[variant] for k in folds]) for m in maps]).cpu().numpy()
        dead = [
            {n: (g.live.shape[1] - g.varies[scored].sum(dim=1)).tolist() for n, g in grams.items()}
            for grams in self.grams
        ]
        rows = []
        for m, values in zip(maps, numbers, strict=True):
            for k in folds:
                row: dict[str, Any] = {"layer_x": m.pair[0], "layer_y": m.pair[1]}
                row |= {"metric": m.metric.name, "direction": m.direction}
                row |= {"fold": k, "n_train": len(self.fold) - self.counts[k], "n_test": self.counts[k]}
                row |= dict(zip(NUMBERS, values[k], strict=False))
                for end, grams, gone, name in zip("xy", self.grams, dead, m.pair, strict=True):
                    row |= {f"units_{end}": grams[name].live.shape[1], f"dead_{end}": gone[name][k]}
                rows.append(row)
        return pd.DataFrame(rows)
