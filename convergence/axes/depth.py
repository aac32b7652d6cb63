"""Depth: all layers of independently trained networks, and of the same networks before training (Fig 1A, 1B)."""

from __future__ import annotations

from pathlib import Path

import torch

from convergence import models
from convergence.axes import Comparison, compare, held_out, pairs_of
from convergence.config import Config, DepthConfig
from convergence.errors import UserError


def plan(config: Config, *, folder: Path, device: torch.device) -> list[Comparison]:
    """All pairs of networks: among ``model``, or of each ``model`` with each ``against``.

    Raises
    ------
    UserError
        If that is no pair, or the stimuli are missing or too few.
    """
    assert isinstance(config.axis, DepthConfig)
    images = held_out(config)
    sides = [config.model] if config.against is None else [config.model, config.against]
    groups = [models.trajectories(side, config.dataset, folder=folder, device=device) for side in sides]
    trained = pairs_of([[run[-1] for run in group] for group in groups])
    if not trained:
        raise nothing_to_compare(config)
    named = [("trained", trained)]
    if config.axis.untrained and not all(a.is_untrained and b.is_untrained for a, b in trained):
        before = [models.untrained(side, group) for side, group in zip(sides, groups, strict=True)]
        named.append(("untrained", pairs_of(before)))
    return [
        compare(f"{name}-{i:03d}", [x], [y], [(0, 0)], config.axis.pairs, images)
        for name, pairs in named
        for i, (x, y) in enumerate(pairs)
    ]


def nothing_to_compare(config: Config) -> UserError:
    """One network is no pair."""
    return UserError(
        f"one network of {config.model.name} has nothing to be compared with: give two seeds "
        "(model.seeds.init=[0,1]), two weights or checkpoints, or another model (model@against=…)."
    )
