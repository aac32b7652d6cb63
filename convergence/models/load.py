"""Where a network comes from."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import torch
from torch import nn

from convergence.models import recipes
from convergence.models.network import Network, describe
from convergence.models.options import ArraysConfig, LibraryConfig, ModelConfig, RecipeConfig
from convergence.models.preprocess import for_images
from convergence.models.recordings.recording import recordings
from convergence.models.seeds import labels, named
from convergence.models.training import Images, train
from convergence.models.training_folder import Checkpoint
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig
from convergence.system.errors import UserError
from convergence.system.hashing import digest

_VERSION = 3  # of recipes, training and its files: raise it whenever the same seeds give others


def trajectories(
    config: ModelConfig, dataset: DatasetConfig, *, folder: Path, device: torch.device, from_start: bool = False
) -> list[list[Network]]:
    """For each independently trained network its checkpoints, in order of training; at least the trained one.

    Parameters
    ----------
    folder : where recipes are trained, as far as they are missing.
    from_start : let every trajectory begin with an untrained network.

    Raises
    ------
    UserError
        If a training run, its weights or its data set cannot be had.
    """
    if isinstance(config, ArraysConfig):
        return [[one] for one in recordings(config)]
    if isinstance(config, RecipeConfig):
        return _trained_here(config, dataset, folder, device)
    from convergence.models import library

    assert isinstance(config, LibraryConfig)
    return library.trajectories(config, dataset.transform, from_start=from_start)


def untrained(config: ModelConfig, trajectories: list[list[Network]]) -> list[Network]:
    """The same architecture before training: where the trajectories begin, else initialised from ``seeds.init``.

    Images enter as they enter the trained ones. Recordings have no such state, and are as they are.
    """
    if isinstance(config, ArraysConfig):
        return [run[-1] for run in trajectories]
    if all(run[0].is_untrained for run in trajectories):
        return [run[0] for run in trajectories]
    from convergence.models import library

    assert isinstance(config, LibraryConfig)
    preprocess = trajectories[0][-1].preprocess
    return [dataclasses.replace(network, preprocess=preprocess) for network in library.untrained(config)]


def _trained_here(
    config: RecipeConfig, dataset: DatasetConfig, folder: Path, device: torch.device
) -> list[list[Network]]:
    seeds = named(config.seeds)
    stimuli = load(dataset, "train")
    if len(stimuli.classes) < 2:
        raise UserError(f"{stimuli.name} has {len(stimuli.classes)} class: training needs at least two.")
    preprocess = for_images(stimuli, config.image_size, dataset.transform)
    shown = config.image_size or preprocess.pixels(stimuli, [0]).shape[-1]
    runs = []
    for label, (init, order) in zip(labels(seeds), seeds, strict=True):
        training = {f.name: getattr(config.training, f.name) for f in dataclasses.fields(config.training)}
        key = digest(_VERSION, config.name, preprocess.describe(), training, stimuli.fingerprint, init, order)[:12]
        build = partial(recipes.build, config.name, len(stimuli.classes), init)
        layers, units = describe(
            build().eval(), torch.zeros(1, 3, shown, shown), config.layers, config.units, config.name
        )

        def load_images() -> Images:
            return Images(preprocess.pixels(stimuli, range(len(stimuli))), stimuli.labels, preprocess.normalise)

        checkpoints = train(
            build,
            load_images,
            len(stimuli),
            config.training,
            order,
            folder / f"{config.name}-{stimuli.name}-init{init}-order{order}-{key}",
            device,
            f"{config.name} {label}",
        )
        runs.append(
            [
                Network(
                    model=config.name,
                    weights=label,
                    seed=init,
                    step=c.step,
                    epoch=c.epoch,
                    weights_hash=c.weights_hash,
                    layers=layers,
                    units=units,
                    preprocess=preprocess,
                    classes=stimuli.classes,
                    builder=partial(_restored, build, c),
                    precision=config.precision,
                )
                for c in checkpoints
            ]
        )
    return runs


def _restored(build: partial[nn.Module], checkpoint: Checkpoint) -> nn.Module:
    model = build()
    model.load_state_dict(checkpoint.weights())
    return model
