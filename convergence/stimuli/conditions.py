"""What axis=ood compares: a data set within distribution, and under each shift and level."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from convergence.config import DatasetConfig, ShiftSource
from convergence.errors import UserError
from convergence.stimuli import load
from convergence.stimuli.base import Stimuli
from convergence.stimuli.shifts import SHIFTS, Graded, shifted, square

ANALOGUE = "analogue"  # the level of images that only resemble the benchmark's


@dataclass(frozen=True)
class Condition:
    """A shift at one level.

    Attributes
    ----------
    name : the shift's.
    level : the benchmark's token, or "analogue".
    stimuli : as many as within distribution, with the same classes.
    averaged : whether it belongs in means over shifts: the benchmark leaves the mildest and the severest levels out.
    paired : whether the i-th stimulus is the i-th within distribution, distorted.
    """

    name: str
    level: str
    stimuli: Stimuli
    averaged: bool
    paired: bool


def conditions(config: DatasetConfig, device: torch.device | str = "cpu") -> tuple[Stimuli, list[Condition]]:
    """The stimuli within distribution, and those of every chosen shift and level, all equally many.

    Parameters
    ----------
    device : where shifts are computed that are generated.

    Raises
    ------
    UserError
        If a shift or level is unknown, or a data set is missing or broken.
    """
    if config.shifts is not ShiftSource.generated:
        raise UserError(f"dataset.shifts={config.shifts.value} cannot be read yet: use dataset.shifts=generated.")
    base = load(config, "test")
    found = []
    for shift, level, averaged in chosen(config, SHIFTS.values()):
        images = shifted(base, shift.name, level, config.seed, device)
        found.append(Condition(shift.name, ANALOGUE if images.analogue else level, images, averaged, paired=True))
    return square(base), found  # the images that the shifts begin with: nothing but the shift differs


def chosen(config: DatasetConfig, offered: Iterable[Graded]) -> list[tuple[Graded, str, bool]]:
    """Shift, level, and whether it is averaged, of all that ``conditions`` and ``levels`` of the options name.

    Levels that the user lists are all averaged.

    Raises
    ------
    UserError
        If a name or a level is not offered, with the nearest names or all the levels.
    """
    shifts = _named(config.conditions, {shift.name: shift for shift in offered})
    if config.levels in ("all", "benchmark"):
        return [
            (shift, level, level in shift.averaged)
            for shift in shifts
            for level in (shift.levels if config.levels == "all" else shift.averaged)
        ]
    tokens = [str(token) for token in (config.levels if isinstance(config.levels, list) else [config.levels])]
    for token in tokens:
        if all(shift.meant(token) is None for shift in shifts):
            levels = ", ".join(dict.fromkeys(level for shift in shifts for level in shift.levels))
            raise UserError(
                f"dataset.levels: no chosen shift has the level {token}; use benchmark, all, or some of {levels}."
            )
    meant = [(shift, {shift.meant(token) for token in tokens}) for shift in shifts]
    return [(shift, level, True) for shift, levels in meant for level in shift.levels if level in levels]


def _named(names: Sequence[str] | None, offered: dict[str, Graded]) -> list[Graded]:
    if names is None:
        return list(offered.values())
    for name in names:
        if name not in offered:
            near = difflib.get_close_matches(name, offered, n=1, cutoff=0.0)[0]
            raise UserError(f"dataset.conditions: there is no shift {name}; did you mean {near}?")
    return [offered[name] for name in offered if name in names]
