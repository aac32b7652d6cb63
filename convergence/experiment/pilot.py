"""How long scoring will take: pieces of a run's own work, scored for real on made-up responses.

What is timed is what the run will call. Pieces are a few layers of the run's widths, in whole or in part, on some of
its stimuli. How much of each term of the work they hold is known, how long each term takes follows from their times.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convergence.alignment import gram_side
from convergence.alignment.applicable import applies
from convergence.alignment.chance.null import Null
from convergence.alignment.metrics.catalogue import find
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.score import score, transfer
from convergence.alignment.ways import Needs

Size = tuple[int, int]  # of a layer: positions and units
_ROWS = 2000  # stimuli of a piece at most
_VALUES = 2**24  # responses of a piece at most
_SHARED = 32  # dimensions that networks have in common, so that maps are found as they are between networks
_UNITS = 64  # units beside which the overhead of a layer does not matter, about
_NARROW = 256  # units of the first pieces at most
_FIRST = 3  # pieces that are timed, whatever that takes
_SURE = 1.3  # a piece may take so many times as long as the smaller ones let expect
_SURPRISE = 2.5  # what takes so many times as long as was expected is timed again
_LEAP = 20  # how much more of the fits a piece may hold than the one before it
_PART, _LONG = 0.02, 4.0  # of long work a part may be spent on judging it, up to so many seconds
_FEW, _MORE = 1, 4  # draws of chance, or sets that maps are carried over to


@dataclass(frozen=True)
class Work:
    """Pairs of layers of some sizes to score on so many stimuli; ``options`` are those of ``score``."""

    x: dict[str, Size]
    y: dict[str, Size]
    pairs: tuple[Pair, ...]
    rows: int
    options: dict[str, Any]

    @property
    def terms(self) -> list[float]:
        """How much there is of what takes time: calls, pairs that are fitted apart, passes over the responses, fits."""
        layers = [self.x[a] for a in {a for a, _ in self.pairs}] + [self.y[b] for b in {b for _, b in self.pairs}]
        pairs = [(self.x[a][1], self.y[b][1], self.x[a][0]) for a, b in self.pairs]
        measures = [find(metric) for metric in self.options["metrics"]]
        rows, fits = self.rows, 0.0
        if not measures[0].fitted:  # stimuli with each other, layer by layer and pair by pair
            passes = sum((rows * p) ** 2 * (n + _UNITS) for p, n in layers)
        elif self.is_wide:
            passes = sum(rows**2 * (n + rows + _UNITS) for _, n in layers)
        else:
            passes = rows * sum(p * (n + _UNITS) ** 2 for p, n in layers) + rows * sum(p * n * m for n, m, p in pairs)
        for n, m, p in pairs:
            if not measures[0].fitted:
                fit = (rows * p) ** 2
            elif self.is_wide:
                fit = rows**2 * (rows + n + m + _UNITS)
            else:
                fit = (n + _UNITS) * (m + _UNITS) * max(n, m)
            fits += fit * sum(measure.applies(n, m, p) for measure in measures) / len(measures)
        # By moments, pairs of the same widths are fitted together.
        apart = pairs if self.is_wide or not measures[0].fitted else set(pairs)
        return [1.0, float(len(apart)), float(passes), float(fits)]

    @property
    def is_wide(self) -> bool:
        """Whether the pairs go by Gram matrices."""
        (a, b), metrics = self.pairs[0], self.options["metrics"]
        return gram_side.applies((self.x[a][1], self.y[b][1]), self.x[a][0], self.rows, metrics)

    def parts(self) -> Iterator[Work]:
        """Of which all pairs go one way: maps by moments, maps by Gram matrices, what is read off without a map."""
        x, y = _MadeUp(self.x, 0), _MadeUp(self.y, 0)
        x.rows = y.rows = self.rows
        for fitted in (True, False):
            metrics = [m for m in self.options["metrics"] if find(m).fitted is fitted]
            scored = [pair for pair in self.pairs if applies(x, y, pair, metrics)]
            found = [(metrics, scored)] if scored else []
            if fitted:
                ways = Needs(x, y, self.options["folds"]).ways(scored, metrics, math.inf)
                found = [(list(way.metrics), way.pairs) for way in ways]
            for some, pairs in found:
                yield replace(self, pairs=tuple(pairs), options=self.options | {"metrics": some})

    def pieces(self) -> Iterator[Work]:
        """From the smallest to the whole, or what of it is timed at most."""
        widest = max(max(self.x[a][1], self.y[b][1]) for a, b in self.pairs)
        share = min(1.0, _NARROW / widest)
        yield self._piece(1, share, 0.5)
        yield self._piece(1, share)
        yield self._piece(2, share)
        while share < 1:
            share = min(1.0, 1.5 * share)
            yield self._piece(2, share)
        layers = 2
        while layers < max(len(self.x), len(self.y)):
            layers += max(1, layers // 2)
            yield self._piece(layers)

    def _piece(self, layers: int, share: float = 1.0, of_rows: float = 1.0) -> Work:
        """So many layers of either side, evenly spread from narrow to wide, and a share of their units and stimuli."""
        x = _spread({a: self.x[a] for a, _ in self.pairs}, layers)
        y = _spread({b: self.y[b] for a, b in self.pairs if a in x}, layers)
        pairs = tuple((a, b) for a, b in self.pairs if a in x and b in y)
        fewest = min(self.rows, 20 * self.options["folds"])
        rows = max(round(min(self.rows * share, _ROWS) * of_rows), fewest)
        least = rows + 1 if self.is_wide else 1  # what is scored by Gram matrices shall be scored so in its pieces
        x, y = ({n: (p, min(u, max(least, round(u * share)))) for n, (p, u) in side.items()} for side in (x, y))
        most = _VALUES // sum(p * units for side in (x, y) for p, units in side.values())
        return Work(x, y, pairs, max(min(rows, most), fewest), self.options)


def seconds(work: Work, null: Null | None, refitted: int, carried: int, spend: float, comparisons: int = 1) -> float:
    """About how long scoring takes.

    Parameters
    ----------
    null : chance, where it is scored.
    refitted : sets of stimuli that maps are fitted and scored on.
    carried : sets that maps fitted elsewhere are scored on.
    spend : seconds that finding out may take, about.
    comparisons : of networks that are scored so.
    """

    def fit(draws: int, x: _MadeUp, y: _MadeUp, pairs: Sequence[Pair], **options: Any) -> None:
        score(x, y, pairs, null=replace(null, draws=draws, alpha=0.9) if null else None, **options)

    def carry(sets: int, x: _MadeUp, y: _MadeUp, pairs: Sequence[Pair], **options: Any) -> None:
        transfer(x, y, [(x, y)] * sets, pairs, **options)

    calls = [(fit, null.draws if null else 1, refitted)] * bool(refitted) + [(carry, carried, 1)] * bool(carried)
    judged = [(part, *call) for part in work.parts() for call in calls]
    total = 0.0
    for part, call, count, times in judged:
        repeats = times * comparisons
        total += repeats * _judged(part, call, count, spend / len(judged), repeats)
    return total


def _judged(work: Work, call: Callable[..., None], count: int, spend: float, repeats: int) -> float:
    pieces = list(work.pieces())
    first = pieces[_FIRST - 1]
    growth = max(whole / part if part else math.inf for whole, part in zip(work.terms, first.terms, strict=True))
    most = growth * _took(first, call, count)  # with what is loaded but once
    if repeats * most < spend / 2:  # what is short need not be known well
        return most
    from scipy.optimize import nnls  # slow to load

    terms: list[list[float]] = []
    times: list[float] = []
    start = begun = time.perf_counter()
    for piece in pieces[:_FIRST]:
        begun = time.perf_counter()
        times.append(_took(piece, call, count))
        terms.append(piece.terms)
    while True:
        now = time.perf_counter()
        weights = 1 / np.array(times)  # of each piece its share counts, not its seconds
        rates, _ = nnls(np.array(terms) * weights[:, None], np.ones(len(times)))
        whole = times[-1] if terms[-1] == work.terms else float(np.dot(rates, work.terms))
        left = (max(spend, min(_LONG, _PART * whole)) - (now - start)) * times[-1] / (now - begun)
        least, most = terms[-1][-1], _LEAP * terms[-1][-1]
        larger = [p for p in pieces if least < p.terms[-1] <= most and _SURE * np.dot(rates, p.terms) <= left]
        if not larger or whole < spend / 2:  # what is short need not be known well
            return whole
        begun, terms = now, [*terms, larger[-1].terms]
        times.append(_took(larger[-1], call, count))
        if times[-1] > _SURPRISE * np.dot(rates, terms[-1]):  # a library was loaded, or another program was at work
            start, begun = start + times[-1], begun + times[-1]
            times[-1] = min(times[-1], _took(larger[-1], call, count))


def _took(work: Work, call: Callable[..., None], count: int) -> float:
    """Seconds of ``count`` draws or sets, by a call for a few and one for more of them."""
    x, y = _MadeUp(work.x, work.rows), _MadeUp(work.y, work.rows)

    def timed(few: int) -> float:
        start = time.perf_counter()
        call(few, x, y, work.pairs, **work.options)
        return time.perf_counter() - start

    few = timed(min(count, _FEW))
    return few if count <= _FEW else few + max(0.0, timed(_MORE) - few) / (_MORE - _FEW) * (count - _FEW)


def _spread(sizes: dict[str, Size], count: int) -> dict[str, Size]:
    names = sorted(sizes, key=lambda name: sizes[name][1])
    count = min(count, len(names))
    return {name: sizes[name] for name in (names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count))}


class _MadeUp:
    """Responses that no network gave, as a Representation: as correlated, and as often zero, as a network's are."""

    def __init__(self, sizes: dict[str, Size], rows: int) -> None:
        self.layers = {name: units for name, (_, units) in sizes.items()}
        self.positions = {name: positions for name, (positions, _) in sizes.items()}
        self.rows = rows
        random = torch.Generator().manual_seed(0)
        self._responses: dict[str, Tensor] = {}
        for name, (positions, units) in sizes.items() if rows else ():
            shape = (rows, positions, units) if positions > 1 else (rows, units)
            shared = torch.randn(rows, *shape[1:-1], _SHARED, generator=torch.Generator().manual_seed(positions))
            own = torch.randn(shape, generator=random)
            self._responses[name] = (shared @ torch.randn(_SHARED, units, generator=random) / 4 + own).relu()

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1."""
        return {name: self._responses[name][start:stop] for name in names}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli."""
        return self._responses[name][:, start:stop]
