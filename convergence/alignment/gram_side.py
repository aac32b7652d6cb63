"""Scores of pairs in which a layer has more units than there are stimuli, by Gram matrices.

Per fold, a map is a matrix P (held-out × training stimuli); predictions P Y are made for blocks of target units, scored
and dropped. The scores are those of :mod:`convergence.alignment.score`, by other sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from convergence.alignment.metrics import dual
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.moments.grams import Columns, Gram, accumulate, blocks, spectrum
from convergence.alignment.reliability import ceilings
from convergence.system.errors import UserError

METRICS = ("linear", "procrustes")
_BYTES = 8  # of a float64
_CONSTANT = 1e-14  # share of what P could carry, below which a prediction's variance is rounding


def applies(widths: tuple[int, int], rows: int, metrics: Sequence[str]) -> bool:
    """Whether a pair is scored from this side: more units than stimuli, and no metric that needs all correlations."""
    return max(widths) > rows and bool(metrics) and set(metrics) <= set(METRICS)


def score(
    x: Columns,
    y: Columns,
    pairs: Sequence[Pair],
    fold: Tensor,
    *,
    metrics: Sequence[str],
    directions: Sequence[str],
    device: torch.device,
    budget: float,
    advance: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Held-out scores of pairs of layers: rows as :func:`convergence.alignment.score.score` gives them, in no order.

    Raises
    ------
    UserError
        If a pair's Gram matrices take more than ``budget`` bytes.
    """
    rows: list[dict[str, Any]] = []
    for tile in _tiles(pairs, len(fold), len(metrics) * len(directions), budget):
        rows += _Tile(x, y, tile, fold, device, budget).score(metrics, directions, advance)
    return pd.DataFrame(rows)


def cost(pairs: Sequence[Pair], rows: int, maps: int) -> float:
    """Peak bytes: Gram matrices and one fold's spectrum of each layer, and each map of all folds."""
    layers = len({a for a, _ in pairs}) + len({b for _, b in pairs})
    return _BYTES * rows**2 * (3.5 * layers + maps * len(pairs) + 2)


def _tiles(pairs: Sequence[Pair], rows: int, maps: int, budget: float) -> Iterator[list[Pair]]:
    tile: list[Pair] = []
    for pair in pairs:
        alone = cost([pair], rows, maps)
        if alone > budget:
            raise UserError(
                f"{pair[0]} × {pair[1]} have more units than the {rows:,} stimuli, whose Gram matrices take "
                f"{alone / 2**30:.1f} GiB, more than memory_gb={budget / 2**30:g}: raise it, or take fewer stimuli."
            )
        if tile and cost([*tile, pair], rows, maps) > budget:
            yield tile
            tile = []
        tile.append(pair)
    if tile:
        yield tile


@dataclass
class _Map:
    """One pair, metric and direction: P and the penalty of each fold, and the sums behind its scores."""

    pair: Pair
    metric: str
    direction: str
    predictors: list[Tensor] = field(default_factory=list)
    penalties: list[Tensor | float] = field(default_factory=list)
    sums: list[Tensor] = field(default_factory=list)  # per fold: Σ r, <XW, Y>, |XW|², |Y|², Σ r / ceiling


class _Tile:
    def __init__(
        self, x: Columns, y: Columns, pairs: list[Pair], fold: Tensor, device: torch.device, budget: float
    ) -> None:
        self.sources, self.pairs, self.fold, self.device = (x, y), pairs, fold, device
        self.folds = int(fold.max()) + 1
        self.width = max(1, int(min(budget / 4, 2**28) / (4 * _BYTES * len(fold))))
        self.grams: tuple[dict[str, Gram], dict[str, Gram]] = ({}, {})
        self.ceilings = [ceilings(s, {pair[i] for pair in pairs}, device) for i, s in enumerate(self.sources)]
        for side, source in enumerate(self.sources):
            for name in dict.fromkeys(pair[side] for pair in pairs):
                self.grams[side][name] = accumulate(source, name, fold, device=device, width=self.width)

    def score(
        self, metrics: Sequence[str], directions: Sequence[str], advance: Callable[[int], None] | None
    ) -> list[dict[str, Any]]:
        maps = [_Map(p, m, d) for p in self.pairs for m in metrics for d in directions]
        for k in range(self.folds):
            self._fit(maps, k)
            if advance is not None:
                advance(len(self.pairs))
        for side, source in enumerate(self.sources):
            for name in self.grams[side]:
                mine = [m for m in maps if _target(m) == (side, name)]
                for where, block, _ in blocks(source, name, self.width, self.device):
                    ceiling = self.ceilings[side][name][where] if name in self.ceilings[side] else None
                    self._predict(mine, self.grams[side][name], where, block, ceiling)
        return [row for m in maps for row in self._rows(m)]

    def _fit(self, maps: list[_Map], k: int) -> None:
        spectra = [{n: spectrum(g, self.fold, k) for n, g in grams.items()} for grams in self.grams]
        polar: dict[Pair, Tensor] = {}
        for m in maps:
            x, y = spectra[0][m.pair[0]], spectra[1][m.pair[1]]
            forward = m.direction == "x->y"
            source, target = (x, y) if forward else (y, x)
            if m.metric == "linear":
                predictor, penalty = dual.linear(source, target)
                m.penalties.append(penalty)
            else:
                if m.pair not in polar:
                    polar[m.pair] = dual.procrustes(x, y)
                predictor = dual.rotated(source, target, polar[m.pair] if forward else polar[m.pair].T)
                m.penalties.append(math.nan)
            m.predictors.append(predictor)
            m.sums.append(torch.zeros(5, dtype=torch.float64, device=self.device))

    def _predict(self, maps: list[_Map], gram: Gram, where: slice, block: Tensor, ceiling: Tensor | None) -> None:
        """Add a block of target units to the sums of all maps onto them."""
        fold = self.fold.to(self.device)
        for k in range(self.folds if maps else 0):
            live = gram.live[k, where]
            train, test = block[fold != k], block[fold == k]
            mean = train.mean(dim=0)
            train, test = (train - mean) * live, (test - mean) * live
            about = test - test.mean(dim=0)
            variance_y, power = about.square().sum(dim=0), train.square().sum(dim=0)
            for m in maps:
                predicted = m.predictors[k] @ train
                moved = predicted - predicted.mean(dim=0)
                variance = moved.square().sum(dim=0)
                reach = m.predictors[k].square().sum() * power
                usable = gram.varies[k, where] & (variance > _CONSTANT * reach)
                scale = torch.where(usable, variance * variance_y, 1.0).sqrt()
                r = torch.where(usable, (moved * about).sum(dim=0) / scale, 0.0)
                m.sums[k][:4] += torch.stack(
                    (r.sum(), (predicted * test).sum(), predicted.square().sum(), test.square().sum())
                )
                if ceiling is not None:
                    m.sums[k][4] += torch.where(ceiling > 0, r / torch.where(ceiling > 0, ceiling, 1.0), 0.0).sum()

    def _rows(self, m: _Map) -> Iterator[dict[str, Any]]:
        side, name = _target(m)
        n_test = torch.bincount(self.fold, minlength=self.folds).tolist()
        for k in range(self.folds):
            counted = int(self.grams[side][name].varies[k].sum())
            r, shared, size_x, size_y, corrected = m.sums[k].tolist()
            size = math.sqrt(size_x * size_y)
            row: dict[str, Any] = {"layer_x": m.pair[0], "layer_y": m.pair[1]}
            row |= {"metric": m.metric, "direction": m.direction, "fold": k}
            row |= {"score": r / counted if counted else math.nan, "score_global": shared / size if size > 0 else 0.0}
            row |= {"score_transport": math.nan, "penalty": float(m.penalties[k])}
            if name in self.ceilings[side]:
                reliable = int((self.grams[side][name].varies[k] & (self.ceilings[side][name] > 0)).sum())
                row["score_corrected"] = corrected / reliable if reliable else math.nan
            row |= {"n_train": len(self.fold) - n_test[k], "n_test": n_test[k]}
            ends = [(end, grams[name]) for end, grams, name in zip("xy", self.grams, m.pair, strict=True)]
            row |= {f"units_{end}": gram.live.shape[1] for end, gram in ends}
            row |= {f"dead_{end}": gram.live.shape[1] - int(gram.varies[k].sum()) for end, gram in ends}
            yield row


def _target(m: _Map) -> tuple[int, str]:
    side = 1 if m.direction == "x->y" else 0
    return side, m.pair[side]
