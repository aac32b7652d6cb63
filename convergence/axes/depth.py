"""Depth: all layers of independently trained networks, and of the same networks before training (Fig 1A, 1B)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from convergence.axes.comparison import Comparison, check_folds, compare, held_out, pairs_of
from convergence.axes.options import DepthConfig, Experiment, Pairs
from convergence.models import load as models
from convergence.models.options import ArraysConfig
from convergence.models.recordings.recording import Recording
from convergence.system.errors import UserError


def plan(config: Experiment, *, folder: Path, device: torch.device) -> list[Comparison]:
    """All pairs of networks: among ``model``, or of each ``model`` with each ``against``.

    Raises
    ------
    UserError
        If that is no pair, or the stimuli are missing or too few.
    """
    assert isinstance(config.axis, DepthConfig)
    images = held_out(config)
    counts = _counts(config, len(images))  # said before anything is trained
    groups = models.of_sides(config.sides, config.dataset, folder=folder, device=device)
    trained = pairs_of([[run[-1] for run in group] for group in groups])
    if not trained:
        raise nothing_to_compare(config)
    named = [("trained", trained)]
    # Recordings have no untrained state, and stand beside the untrained networks as they are.
    states = [network for pair in trained for network in pair if not isinstance(network, Recording)]
    if config.axis.untrained and not all(network.is_untrained for network in states):
        before = [
            models.untrained(side, group, config.dataset) for side, group in zip(config.sides, groups, strict=True)
        ]
        named.append(("untrained", pairs_of(before)))
    whole = [
        compare(f"{name}-{i:03d}", [x], [y], [(0, 0)], config.axis.pairs, images)
        for name, pairs in named
        for i, (x, y) in enumerate(pairs)
    ]
    matched = [compare(f"{i:03d}", [x], [y], [(0, 0)], Pairs.matched, images) for i, (x, y) in enumerate(trained)]
    return whole + [
        replace(each, name=f"first-{count}-{each.name}", first=count) for count in counts for each in matched
    ]


def _counts(config: Experiment, stimuli: int) -> list[int]:
    """The numbers of stimuli of ``axis.stimuli_sweep`` below the whole, checked."""
    assert isinstance(config.axis, DepthConfig)
    wanted = sorted(set(config.axis.stimuli_sweep or []))
    for count in wanted:
        if count > stimuli:
            raise UserError(f"axis.stimuli_sweep names {count} stimuli of {stimuli}: raise dataset.stimuli.")
        check_folds(config.metric, count)  # says which are too few
    return [count for count in wanted if count < stimuli]


def nothing_to_compare(config: Experiment) -> UserError:
    """One network is no pair."""
    if isinstance(config.model, ArraysConfig):
        return UserError(
            'one recording has nothing to be compared with: name several ("model.files=[a.npz,b.npz]"), or a network '
            "beside it (model@against=resnet18)."
        )
    return UserError(
        f"one network of {config.model.name} has nothing to be compared with: give two seeds "
        "(model.seeds.init=[0,1]), two weights or checkpoints, or another model (model@against=…)."
    )
