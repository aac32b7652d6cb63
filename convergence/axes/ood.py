"""OOD: corresponding layers within distribution, and under each shift and level (Fig 1D, 1E)."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import torch

from convergence.alignment import folds
from convergence.axes.comparison import Comparison, check_folds, compare, pairs_of
from convergence.axes.depth import nothing_to_compare
from convergence.axes.options import Experiment, OodConfig, Pairs
from convergence.axes.recorded import refuse
from convergence.axes.splits import split_of
from convergence.models import load as models
from convergence.stimuli.conditions.conditions import conditions
from convergence.system.hashing import digest

_LONGEST = 80  # characters of a shift's name in a file's


def plan(config: Experiment, *, folder: Path, device: torch.device) -> list[Comparison]:
    """Each pair of trained networks within distribution, then under each shift: all its levels together.

    Raises
    ------
    UserError
        If that is no pair, or stimuli are missing, or too few for the folds.
    """
    axis = config.axis
    assert isinstance(axis, OodConfig)
    refuse(config, "there are no responses to distorted images")
    metric = config.metric
    images, shifted = conditions(
        config.dataset, device, split_of(config), lambda count: folds.assign(count, metric.folds, metric.seed)
    )
    check_folds(config.metric, len(images))
    groups = models.of_sides(config.sides, config.dataset, folder=folder, device=device)
    named = {"trained": [[run[-1] for run in group] for group in groups]}
    if axis.untrained:
        named["untrained"] = [
            models.untrained(side, group, config.dataset) for side, group in zip(config.sides, groups, strict=True)
        ]
    shifts = [(name, tuple(levels)) for name, levels in groupby(shifted, key=lambda condition: condition.name)]
    comparisons = []
    for kind, networks in named.items():
        pairs = pairs_of(networks)
        if not pairs:
            raise nothing_to_compare(config)
        for i, (x, y) in enumerate(pairs):
            within = compare(f"{kind}-{i:03d}-wd", [x], [y], [(0, 0)], Pairs.matched, images)
            comparisons.append(within)
            comparisons += [
                replace(within, name=f"{kind}-{i:03d}-{file_safe(name)}", conditions=levels) for name, levels in shifts
            ]
    return comparisons


def file_safe(name: str) -> str:
    """The name of a shift, which may be any folder's, as part of a file's name: another one for each name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    return name if plain == name and len(name) <= _LONGEST else f"{plain[:_LONGEST]}-{digest(name)[:8]}"
