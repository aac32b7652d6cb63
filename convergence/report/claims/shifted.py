"""Alignment and accuracy under shift, as claims 6 and 7 look at them: by shift, level and layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convergence.alignment.metrics.catalogue import of_freedom
from convergence.alignment.metrics.metric import Freedom
from convergence.report.grid import Grid, grids
from convergence.results import views as tables
from convergence.results.divergence import LATE, counts
from convergence.results.uncertainty import Array, Estimate, over_networks, over_shifts, together
from convergence.stimuli.shifts import SHIFTS

WD = "wd"
MISSING = "no rows of shifts: run axis=ood"
_UNORDERED = ("rotation",)  # 270 degrees are no further off than 90
_APART = "\t"
Places = NDArray[np.int64]  # of shifts


@dataclass(frozen=True)
class Shifted:
    """One study under one protocol.

    Attributes
    ----------
    grid : its cells are conditions with their levels, the first within distribution.
    shifts : names, in the order that places count.
    """

    grid: Grid
    shifts: tuple[str, ...]

    @property
    def early(self) -> NDArray[np.bool_]:
        """(layers,) the first third of the depth, at least the first layer."""
        return self.grid.depths <= max(1 - LATE, self.grid.depths.min())

    @property
    def late(self) -> NDArray[np.bool_]:
        """(layers,) the last third of the depth, at least the last layer."""
        return self.grid.depths >= min(LATE, self.grid.depths.max())

    def by_shift(self, mean: Array) -> Array:
        """(shifts, …) of (cells, …): the mean over the levels that the benchmark averages."""
        return np.stack([mean[self._averaged(name)].mean(axis=0) for name in self.shifts])

    def ordered(self, name: str) -> list[int]:
        """The cells of a shift from mild to strong; empty without three levels in a known order."""
        cells = self._cells(name)
        listed = SHIFTS[name].levels if name in SHIFTS else _numbers(list(cells))
        order = () if name in _UNORDERED else listed
        known = [cells[level] for level in order if level in cells]
        return known if len(known) >= 3 else []

    def _averaged(self, name: str) -> list[int]:
        cells = self._cells(name)
        return [i for level, i in cells.items() if counts(name, level)] or list(cells.values())

    def _cells(self, name: str) -> dict[str, int]:
        parts = [cell.split(_APART) for cell in self.grid.cells]
        return {level: i for i, (condition, level) in enumerate(parts) if condition == name}


def _numbers(levels: list[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(levels, key=float))
    except ValueError:
        return ()


def read(table: pd.DataFrame) -> dict[str, list[Shifted]]:
    """The studies of the OOD axis by protocol; Procrustes where it is there."""
    rows = tables.networks(tables.observed(table[table.axis == "ood"]))
    rows = rows[~((rows.source_step == 0) & (rows.target_step == 0))]
    if rows.empty:
        return {}
    rows = rows[rows.metric == (of_freedom(rows.metric, Freedom.rotation) or rows.metric.iloc[0])]
    within = rows.condition == WD
    rows = rows.assign(place=rows.condition + _APART + rows.level.where(~within).fillna(""))
    protocols = [str(p) for p in rows.protocol.dropna().unique()]
    return {p: made for p in protocols if (made := _studies(rows[(rows.protocol == p) | within]))}


def _studies(rows: pd.DataFrame) -> list[Shifted]:
    """Those with the first one's shifts."""
    made = []
    for _, run in rows.groupby("run", dropna=False):
        names = [WD + _APART, *sorted(set(run.place) - {WD + _APART})]
        shifts = tuple(dict.fromkeys(name.split(_APART)[0] for name in names[1:]))
        made += [Shifted(grid, shifts) for grid in grids(run, "place", names) if shifts]
    return [study for study in made if study.shifts == made[0].shifts]


def estimate(
    studies: list[Shifted], statistic: Callable[[Shifted, Array, Places], float], *, each_pair: bool = False
) -> Estimate:
    """A statistic of the shifts at some places, with an interval over shifts and, where there are enough, networks.

    Parameters
    ----------
    studies : of one protocol.
    statistic : of a study, its means (cells, layers + 1) with the accuracy behind the layers, and the places.
    each_pair : whether the statistic is that of each pair of networks, then averaged, or that of the mean pair.
    """
    samples, everything = [], np.arange(len(studies[0].shifts))
    for study in studies:
        accuracy = np.broadcast_to(study.grid.accuracy[:, None, :, None], (*study.grid.scores.shape[:-1], 1))
        samples.append(study.grid.sample(np.concatenate([study.grid.scores, accuracy], axis=-1)))
    means = [sample.values.mean(axis=1) if each_pair else sample.without()[None] for sample in samples]

    def by_pair(places: Places) -> list[list[float]]:
        return [[statistic(s, mean, places) for mean in pairs] for s, pairs in zip(studies, means, strict=True)]

    shifts = over_shifts(lambda places: float(np.mean([np.mean(v) for v in by_pair(places)])), len(everything))
    if each_pair:
        own = [s.grid.sample(np.array(v)[:, None]) for s, v in zip(studies, by_pair(everything), strict=True)]
        return together(shifts, over_networks(own, lambda mean: mean))
    return together(shifts, over_networks(samples, [partial(_at, statistic, study, everything) for study in studies]))


def _at(statistic: Callable[[Shifted, Array, Places], float], study: Shifted, places: Places, mean: Array) -> float:
    return statistic(study, mean, places)
