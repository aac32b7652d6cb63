"""Depth: all layers of independently trained networks, and of the same networks before training (Fig 1A, 1B)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import torch

from convergence import models
from convergence.axes import Comparison
from convergence.config import Config, DepthConfig
from convergence.errors import UserError
from convergence.models.network import Network


def plan(config: Config, *, folder: Path, device: torch.device) -> list[Comparison]:
    """All pairs of networks: among ``model``, or of each ``model`` with each ``against``.

    Raises
    ------
    UserError
        If that is no pair.
    """
    assert isinstance(config.axis, DepthConfig)
    sides = [config.model] if config.against is None else [config.model, config.against]
    groups = [models.networks(side, config.dataset, folder=folder, device=device) for side in sides]
    found = [Comparison(f"trained-{i:03d}", x, y) for i, (x, y) in enumerate(_pairs(groups))]
    if not found:
        raise UserError(
            f"one network of {config.model.name} has nothing to be compared with: give two seeds "
            "(model.seeds.init=[0,1]), two weights or checkpoints, or another model (model@against=…)."
        )
    if config.axis.untrained and any(c.x.step != 0 or c.y.step != 0 for c in found):
        before = [models.untrained(side, config.dataset, folder=folder, device=device) for side in sides]
        found += [Comparison(f"untrained-{i:03d}", x, y) for i, (x, y) in enumerate(_pairs(before))]
    return found


def _pairs(groups: list[list[Network]]) -> Iterator[tuple[Network, Network]]:
    yield from combinations(groups[0], 2) if len(groups) == 1 else product(groups[0], groups[1])
