"""Where a network comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from convergence.models import own, recipes, trained
from convergence.models.architecture import Architecture
from convergence.models.network import Network
from convergence.models.options import (
    ArraysConfig,
    LibraryConfig,
    ModelConfig,
    ModuleConfig,
    RecipeConfig,
    is_trained_here,
)
from convergence.models.recordings.recording import recordings
from convergence.stimuli.options import DatasetConfig


def trajectories(
    config: ModelConfig, dataset: DatasetConfig, *, folder: Path, device: torch.device, from_start: bool = False
) -> list[list[Network]]:
    """For each independently trained network its checkpoints, in order of training; at least the trained one.

    Parameters
    ----------
    folder : where networks are trained, as far as they are missing.
    from_start : let every trajectory begin with an untrained network.

    Raises
    ------
    UserError
        If a training run, its weights or its data set cannot be had.
    """
    if isinstance(config, ArraysConfig):
        return [[one] for one in recordings(config)]
    architecture = architecture_of(config, dataset)
    if is_trained_here(config):
        return trained.train_all([trained.prepared(architecture, dataset, folder, device)], dataset, folder)[0]
    if isinstance(config, LibraryConfig):
        from convergence.models import library

        return library.trajectories(config, dataset.transform, from_start=from_start)
    return own.trajectories(architecture, from_start=from_start) or [[network] for network in architecture.untrained()]


def of_sides(
    sides: Sequence[ModelConfig],
    dataset: DatasetConfig,
    *,
    folder: Path,
    device: torch.device,
    from_start: bool = False,
) -> list[list[list[Network]]]:
    """The trajectories of each side; weights that can't be had, or layers, are missed before anything is trained."""
    trainings = {
        i: trained.prepared(architecture_of(side, dataset), dataset, folder, device)
        for i, side in enumerate(sides)
        if is_trained_here(side)
    }
    ready = {
        i: trajectories(side, dataset, folder=folder, device=device, from_start=from_start)
        for i, side in enumerate(sides)
        if i not in trainings
    }
    made = dict(zip(trainings, trained.train_all(list(trainings.values()), dataset, folder), strict=True))
    return [ready[i] if i in ready else made[i] for i in range(len(sides))]


def untrained(config: ModelConfig, trajectories: list[list[Network]], dataset: DatasetConfig) -> list[Network]:
    """The same architecture before training: where the trajectories begin, else initialised from ``seeds.init``.

    Images enter as they enter the trained ones. Recordings have no such state, and are as they are.
    """
    if isinstance(config, ArraysConfig):
        return [run[-1] for run in trajectories]
    if all(run[0].is_untrained for run in trajectories):
        return [run[0] for run in trajectories]
    preprocess = trajectories[0][-1].preprocess
    made = architecture_of(config, dataset).untrained()
    return [dataclasses.replace(network, preprocess=preprocess) for network in made]


def architecture_of(config: ModelConfig, dataset: DatasetConfig) -> Architecture:
    """What the networks of a config have in common.

    Raises
    ------
    UserError
        If there is no such architecture, or the user's code can't be run.
    """
    if isinstance(config, LibraryConfig):
        from convergence.models import library

        return library.architecture(config, dataset.transform)
    if isinstance(config, ModuleConfig):
        from convergence.models import module

        return module.architecture(config, dataset)
    assert isinstance(config, RecipeConfig)
    return recipes.architecture(config, dataset)
