"""What axis=ood compares: a data set within distribution, and under each shift and level."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from convergence.stimuli.base import Stimuli
from convergence.stimuli.conditions import cifar10_c as cifar_c
from convergence.stimuli.conditions import imagenet_variants as layouts
from convergence.stimuli.conditions import model_vs_human
from convergence.stimuli.conditions.matched import alike, unopened
from convergence.stimuli.files import FileStimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig, ShiftSource
from convergence.stimuli.shifts import SHIFTS, Graded, shifted, square
from convergence.system.errors import UserError

_log = logging.getLogger("convergence")
Groups = Callable[[int], torch.Tensor]
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
    """

    name: str
    level: str
    stimuli: Stimuli
    averaged: bool


def conditions(
    config: DatasetConfig, device: torch.device | str = "cpu", split: str = "test", groups: Groups | None = None
) -> tuple[Stimuli, list[Condition]]:
    """The stimuli within distribution, and those of every chosen shift and level, all equally many.

    Parameters
    ----------
    device : where shifts are computed that are generated.
    split : "test" or "all", as ``load`` understands it.
    groups : the group of each of so many stimuli, such as their folds; generated shifts mix no images of two groups.

    Raises
    ------
    UserError
        If a shift or level is unknown, or a data set is missing or broken.
    """
    if config.shifts is ShiftSource.generated:
        return _generated(config, device, split, groups)
    if config.shifts is ShiftSource.cifar10_c:
        return _cifar_c(config)
    return _from_folders(config, split)


def _generated(
    config: DatasetConfig, device: torch.device | str, split: str, groups: Groups | None
) -> tuple[Stimuli, list[Condition]]:
    choice = chosen(config, SHIFTS.values())
    base = load(config, split)
    of_each = None if groups is None else groups(len(base))
    found = []
    for shift, level, averaged in choice:
        images = shifted(base, shift.name, level, config.seed, device, of_each)
        found.append(Condition(shift.name, ANALOGUE if images.analogue else level, images, averaged))
    return square(base), found  # the images that the shifts begin with: nothing but the shift differs


def _cifar_c(config: DatasetConfig) -> tuple[Stimuli, list[Condition]]:
    choice = chosen(config, cifar_c.offered(config))
    base = load(config, "test")
    return base, [
        Condition(shift.name, level, cifar_c.corrupted(config, base, shift, level), averaged)
        for shift, level, averaged in choice
    ]


def _from_folders(config: DatasetConfig, split: str) -> tuple[Stimuli, list[Condition]]:
    base = unopened(config, split)
    if config.shifts is ShiftSource.model_vs_human:
        base = model_vs_human.within(base)
        choice, pools = _benchmark(config)
    else:
        choice = chosen(config, layouts.offered(config, base.classes))
        pools = [layouts.images(config, shift, level, base.classes) for shift, level, _ in choice]
    base, stimuli = alike(config, base, pools)
    return base, [
        Condition(shift.name, level, images, averaged)
        for (shift, level, averaged), images in zip(choice, stimuli, strict=True)
    ]


def _benchmark(config: DatasetConfig) -> tuple[list[tuple[Graded, str, bool]], list[FileStimuli]]:
    """What is chosen of the benchmark's sets, as far as it is there."""
    wanted = chosen(config, SHIFTS.values())
    sets = {name: model_vs_human.levels_of(config, SHIFTS[name]) for name in dict.fromkeys(s.name for s, *_ in wanted)}
    there = [(shift, level, averaged) for shift, level, averaged in wanted if level in sets[shift.name]]
    missing = [f"{shift.name} {level}" for shift, level, _ in wanted if level not in sets[shift.name]]
    if not there:
        raise UserError(f"there are no images of {', '.join(missing)} on disk: choose other dataset.levels.")
    if missing:
        _log.warning("there are no images of %s on disk: they are left out.", ", ".join(missing))
    return there, [sets[shift.name][level] for shift, level, _ in there]


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
