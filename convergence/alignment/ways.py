"""How pairs of layers are scored so that they fit: which metrics from which statistics, and the bytes that takes.

Moments of all folds serve every metric. What they do not fit, or would take much longer, is cut in two: metrics that
Gram matrices can fit go by these where units outnumber stimuli, and the others by the moments of one fold after the
other, without those within a layer where single units are all that is asked for. Scores are the same either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from convergence.alignment import gram_side
from convergence.alignment.chance.draws import keeps
from convergence.alignment.chance.null import Null
from convergence.alignment.metrics.catalogue import find
from convergence.alignment.moments.accumulate import Pair, Representation
from convergence.alignment.tiles import bytes_of_moments

_BYTES = 8  # of a float64
_WIDE = 1024  # units from which Gram matrices pay for some of the metrics alone
_TWO = 2  # parts of the stimuli: a held-out fold, and all others
# Matrices between both layers that matching holds: of both parts, in training and held-out, correlations, and as many
# again in the solver of transport; all of them are counted as others are, whose copies and gaps come on top.
_MATCHED = 6


class By(Enum):
    """What scores are made from."""

    grams = "Gram matrices"
    moments = "moments of all folds"
    fold = "moments of one fold after the other"


@dataclass(frozen=True)
class Way:
    """Pairs whose maps are fitted in one way by these metrics; ``whole`` if no other metric applies to them."""

    by: By
    metrics: tuple[str, ...]
    whole: bool
    pairs: list[Pair]


@dataclass(frozen=True)
class Needs:
    """Bytes that scoring of pairs of layers holds.

    Attributes
    ----------
    x, y : widths, positions and number of rows are read alone.
    sets : of stimuli: those that maps are fitted on, and others that they are scored on.
    """

    x: Representation
    y: Representation
    folds: int
    sets: int = 1
    null: Null | None = None

    def of_moments(self, block: Sequence[Pair], at_once: int = 1) -> float:
        """Of all folds of a tile; statistics of ``at_once`` of them."""
        needed = bytes_of_moments(self.x.layers, self.y.layers, block, self.folds, at_once, self.sets)
        return needed + (keeps(self.x, self.y, block, self.folds, self.null) if self.null else 0.0)

    def of_kept(self, block: Sequence[Pair], budget: float) -> float:
        """Of a tile's held-out responses; 0 if they speed up nothing or do not fit beside its moments."""
        widths = [self.x.layers[a] for a in {a for a, _ in block}] + [self.y.layers[b] for b in {b for _, b in block}]
        size = self.folds * self._responses(block[0], widths)
        return size if self._held(block[0]) <= max(widths) and self.of_moments(block) + size <= budget else 0.0

    def of_fold(self, pair: Pair, metrics: Sequence[str]) -> float:
        """Of one pair, one fold after the other."""
        if scatters(metrics):
            return bytes_of_moments(self.x.layers, self.y.layers, [pair], _TWO, 1, self.sets)
        widths = self.x.layers[pair[0]], self.y.layers[pair[1]]
        cross = _BYTES * math.prod(widths)
        return (_MATCHED + (_TWO + 1) * (self.sets - 1)) * cross + self._responses(pair, widths)

    def of_grams(self, block: Sequence[Pair], metrics: Sequence[str]) -> float:
        """Of the Gram matrices of a tile and its maps."""
        return gram_side.cost(block, self.x.rows, 2 * len(metrics), self.sets, self.folds)

    def of(self, way: Way, pair: Pair) -> float:
        """Of one pair alone."""
        if way.by is By.grams:
            return self.of_grams([pair], way.metrics)
        return self.of_moments([pair]) if way.by is By.moments else self.of_fold(pair, way.metrics)

    def _held(self, pair: Pair) -> int:
        return self.x.positions[pair[0]] * math.ceil(self.x.rows / self.folds)

    def _responses(self, pair: Pair, widths: Sequence[int]) -> float:
        """Of a held-out fold: as they are read, about their means, and along eigenvectors."""
        return _BYTES * 3 * self.sets * self._held(pair) * sum(widths)

    def ways(self, pairs: Sequence[Pair], metrics: Sequence[str], budget: float) -> list[Way]:
        """Each pair with each of the metrics, fitted ones, that apply to it, in the ways that fit."""
        found: dict[tuple[By, tuple[str, ...], bool], list[Pair]] = {}
        for pair in pairs:
            for key in self._of_pair(pair, metrics, budget):
                found.setdefault(key, []).append(pair)
        return [Way(*key, of_key) for key, of_key in found.items()]

    def _of_pair(self, pair: Pair, metrics: Sequence[str], budget: float) -> Iterator[tuple[By, tuple[str, ...], bool]]:
        widths, positions = (self.x.layers[pair[0]], self.y.layers[pair[1]]), self.x.positions[pair[0]]
        applied = tuple(m for m in metrics if find(m).applies(*widths, positions))
        fits = self.of_moments([pair]) <= budget
        grams = tuple(m for m in applied if find(m).gram)
        if not gram_side.applies(widths, positions, self.x.rows, grams) or (
            grams != applied and fits and max(widths) < _WIDE
        ):
            grams = ()
        if grams and self.of_grams([pair], grams) > budget and (fits or self.of_fold(pair, applied) <= budget):
            grams = ()
        if grams:
            yield By.grams, grams, grams == applied
        rest = tuple(m for m in applied if m not in grams)
        if rest and (fits or self.null is not None):  # draws are of all folds
            yield By.moments, tuple(m for m in metrics if m not in grams), not grams
        elif rest:
            yield By.fold, rest, not grams


def scatters(metrics: Sequence[str]) -> bool:
    """Whether one of the metrics asks for moments within a layer."""
    return not all(find(m).by_unit for m in metrics)


def sets_at_once(needs: Needs, pairs: Sequence[Pair], metrics: Sequence[str], others: int, budget: float) -> int:
    """Held-out sets that are scored together: halved until each pair fits with so many, or one is left."""

    def fit(sets: int) -> bool:
        so_many = Needs(needs.x, needs.y, needs.folds, 1 + sets, needs.null)
        return all(so_many.of(w, pair) <= budget for w in so_many.ways(pairs, metrics, budget) for pair in w.pairs)

    while others > 1 and not fit(others):
        others = -(-others // 2)
    return others
