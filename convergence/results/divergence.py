"""Where convergence breaks: the gap between alignment within and out of distribution, layer by layer.

Of every shift the levels that the benchmark averages over count, and each shift as much as another. All numbers are of
one metric, both directions averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convergence.results import uncertainty
from convergence.results import views as tables
from convergence.stimuli.conditions.conditions import ANALOGUE
from convergence.stimuli.shifts import SHIFTS

REFIT, TRANSFER = "refit", "transfer"
LATE = 2 / 3  # relative depth from which layers are called late
SIGNIFICANT = 0.05
_LISTED = 12  # folds up to which every pattern of signs is listed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Divergence:
    """One metric and protocol.

    Attributes
    ----------
    metric, protocol : of what.
    shifts : names.
    analogues : those of them that only imitate the benchmark's images.
    layers : names, from the first to the last; where the two networks' differ both, as ``a × b``.
    named_alike : whether they differ nowhere.
    depths : (layers,) relative.
    within : (folds, layers) alignment within distribution, mean over pairs of networks.
    beyond : (shifts, folds, layers) the same under each shift.
    by_pair : (pairs, shifts, layers) under each shift, mean over folds.
    accuracy : (pairs, shifts) mean task accuracy of a pair's two networks; NaN where it is not known.
    stimuli : how many each number is of.
    """

    metric: str
    protocol: str
    shifts: list[str]
    analogues: list[str]
    layers: list[str]
    named_alike: bool
    depths: Array
    within: Array
    beyond: Array
    by_pair: Array
    accuracy: Array
    stimuli: int

    @property
    def mean(self) -> Array:
        """(layers,) alignment out of distribution, mean over shifts."""
        return _known_mean(self.beyond.mean(axis=1))

    @property
    def error(self) -> Array:
        """(layers,) standard error over shifts; NaN of one."""
        by_shift = self.beyond.mean(axis=1)
        count = (~np.isnan(by_shift)).sum(axis=0)
        spread = np.sqrt(_known_mean((by_shift - self.mean) ** 2) * count)
        return np.divide(spread, np.sqrt(count * (count - 1)), out=np.full_like(spread, np.nan), where=count > 1)

    @property
    def gap(self) -> Array:
        """(layers,) within minus out of distribution."""
        return self.within.mean(axis=0) - self.mean

    def gap_p(self, shift: str | None = None) -> Array:
        """(layers,) one-sided p that the gap is not larger than nothing, corrected for the number of layers.

        Null: which of a fold's two scores, within distribution and under the shift, is which. Each fold's gap changes
        its sign, in all layers at once, in the patterns of :func:`signs`; a layer's studentized gap is compared with
        the largest one of all layers (maxT, Westfall & Young 1993). Folds share training images, so that p is
        approximate. K = 5 folds give no p below 1/32.
        """
        if shift not in self._p:
            chosen = self.beyond if shift is None else self.beyond[[self.shifts.index(shift)]]
            self._p[shift] = _largest_p(self.within - _known_mean(chosen))
        return self._p[shift]

    @cached_property
    def _p(self) -> dict[str | None, Array]:
        return {}

    def onset(self, shift: str | None = None) -> int | None:
        """The first layer whose gap exceeds its null (of one shift, or of the mean over all), or None."""
        exceeds = np.flatnonzero(self.gap_p(shift) <= SIGNIFICANT)
        return int(exceeds[0]) if len(exceeds) else None


def _known_mean(values: Array) -> Array:
    """Over the first axis (shifts) without the NaN: a layer may be silent under one of them and have no score there."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def signs(folds: int) -> Array:
    """(patterns, folds) of ±1, the first of +1 alone: all 2^K up to K = 12 folds, beyond 4,096 that are drawn."""
    if folds <= _LISTED:
        return np.array(list(product((1.0, -1.0), repeat=folds)))
    drawn = np.random.default_rng(folds).choice((1.0, -1.0), (2**_LISTED, folds))
    drawn[0] = 1
    return drawn


def _largest_p(gaps: Array) -> Array:
    """(layers,) share of the sign patterns under which the largest studentized gap reaches a layer's own.

    ``gaps`` is (folds, layers). The standard error is never taken for quite nothing. Signs change no square, so all
    patterns need one matrix product and no more memory than (patterns, layers).
    """
    folds = len(gaps)
    means = signs(folds) @ gaps / folds
    variance = np.maximum(np.square(gaps).sum(axis=0) - folds * means**2, 0) / (folds - 1)
    drawn = means / np.maximum(np.sqrt(variance / folds), 1e-6 + 1e-3 * np.abs(gaps).mean(axis=0))
    largest = np.sort(np.fmax.reduce(drawn, axis=1))
    reached = len(largest) - np.searchsorted(largest, drawn[0] - 1e-9)
    return np.where(np.isnan(drawn[0]), np.nan, reached / len(largest))


def divergences(table: pd.DataFrame) -> list[Divergence]:
    """Of every metric and protocol among the trained networks' rows."""
    rows = _prepared(table)
    found = []
    for metric, mine in rows.groupby("metric", sort=False):
        within = mine[mine.protocol.isna()]
        for protocol, shifted in mine[mine.protocol.notna()].groupby("protocol", sort=False):
            if len(within):
                found.append(_divergence(str(metric), str(protocol), within, shifted))
    return found


def _prepared(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of trained pairs, of the levels that count, with pair and layer named."""
    rows = averaged(tables.split(table)[0])
    return rows.assign(
        pair=tables.pair(rows),
        layer=tables.layer_names(rows),
        depth=rows[["source_depth", "target_depth"]].mean(axis=1),
        accuracy=rows[["source_accuracy", "target_accuracy"]].mean(axis=1, skipna=False),
    )


def counts(shift: str, level: str) -> bool:
    """Whether a level counts in the benchmark's means; other shifts' levels all do."""
    return shift not in SHIFTS or level not in SHIFTS[shift].levels or level in SHIFTS[shift].averaged


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the levels that the benchmark leaves out of its means, unless these are all that a shift has."""

    known = rows[["condition", "level"]].drop_duplicates()
    known = known.assign(counts=[counts(c, str(v)) for c, v in zip(known.condition, known.level, strict=True)])
    any_counts = known.groupby("condition").counts.transform("any")
    kept = known[known.counts | ~any_counts]
    return rows.merge(kept[["condition", "level"]], on=["condition", "level"], how="inner")


def _divergence(metric: str, protocol: str, within: pd.DataFrame, shifted: pd.DataFrame) -> Divergence:
    layers = within.groupby("layer").depth.mean().sort_values()
    shifts = list(shifted.condition.unique())
    pairs = sorted(within.pair.unique())
    inside = within.groupby(["fold", "pair", "layer"]).score.mean().groupby(["fold", "layer"]).mean().unstack()
    # Levels first, then pairs: a shift of many levels counts as much as one of a single level.
    cells = shifted.groupby(["condition", "level", "pair", "fold", "layer"]).score.mean()
    cells = cells.groupby(["condition", "pair", "fold", "layer"]).mean()
    outside = cells.groupby(["condition", "fold", "layer"]).mean().unstack("layer")[layers.index]
    by_pair = cells.groupby(["pair", "condition", "layer"]).mean().unstack("layer")[layers.index]
    accuracy = shifted.groupby(["condition", "level", "pair"]).accuracy.first().groupby(["pair", "condition"]).mean()
    return Divergence(
        metric=metric,
        protocol=protocol,
        shifts=shifts,
        analogues=[name for name in shifts if (shifted[shifted.condition == name].level == ANALOGUE).all()],
        layers=list(layers.index),
        named_alike=tables.named_alike(within),
        depths=layers.to_numpy(),
        within=inside[layers.index].to_numpy(),
        beyond=np.stack([outside.loc[name].to_numpy() for name in shifts]),
        by_pair=np.stack([by_pair.loc[name].reindex(shifts).to_numpy() for name in pairs]),
        accuracy=np.stack([accuracy.loc[name].reindex(shifts).to_numpy() for name in pairs]),
        stimuli=int((within.n_train + within.n_test).iloc[0]),
    )


# ---------------------------------------------------------------- another map, or no longer the same?


@dataclass(frozen=True)
class Closure:
    """How much of the gap under transfer closes when the map is fitted anew on shifted images: (layers,) each.

    1: the networks still agree, by another map. 0: they no longer agree. NaN where there is no gap beyond its null.
    ``low`` and ``high`` are the ends of a 95 % interval over shifts; NaN of fewer than three.
    """

    share: Array
    low: Array
    high: Array


def closure(refit: Divergence, transfer: Divergence) -> Closure:
    """(refit - transfer) / (within - transfer), of the means over shifts."""
    within = transfer.within.mean(axis=0)
    again, carried = refit.beyond.mean(axis=1), transfer.beyond.mean(axis=1)
    there = transfer.gap_p() <= SIGNIFICANT

    def share(weights: Array) -> Array:
        """(..., layers) with the shifts weighted, (..., shifts)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (weights @ (again - carried)) / (within - weights @ carried)

    whole = share(np.full(len(again), 1 / len(again)))
    return Closure(*(np.where(there, numbers, np.nan) for numbers in (whole, *over_shifts(whole, share, len(again)))))


def over_shifts(value: Array, statistic: Callable[[Array], Array], shifts: int) -> tuple[Array, Array]:
    """Ends of the 95 % interval of a statistic of weights (..., shifts), each shift left out in turn."""
    if shifts < 3:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    left_out = (1 - np.eye(shifts)) / (shifts - 1)
    return uncertainty.interval(value, *uncertainty.jackknife(statistic(left_out), [0] * shifts))
