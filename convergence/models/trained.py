"""Networks that are trained here, from seeds, of any architecture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import nn

from convergence.models.architecture import Architecture, bytes_of
from convergence.models.memory_layout import layout
from convergence.models.network import Network, describe
from convergence.models.options import LibraryConfig, RecipeConfig, SeedsConfig
from convergence.models.outputs import tensor_of
from convergence.models.seeds import labels, named
from convergence.models.side_by_side import train_ahead
from convergence.models.training import Images, TrainingRun, checkpoint_steps, steps_per_epoch, train
from convergence.models.training_folder import Checkpoint, checkpoint_file
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig
from convergence.system import cores
from convergence.system.errors import UserError
from convergence.system.hashing import digest
from convergence.system.threads import one_thread

VERSION = 4  # of recipes, training and its files: raise it whenever the same seeds give others
_LONG = 100  # steps for which it is worth to start a process


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Networks that can be trained.

    Attributes
    ----------
    long : those that are missing and worth a process of their own, as recipes of one seed each.
    train : trains as far as that is missing, and gives the checkpoints of each seed's training run.
    """

    long: Callable[[], list[RecipeConfig]]
    train: Callable[[], list[list[Network]]]


def train_all(prepared: Sequence[Prepared], dataset: DatasetConfig, folder: Path) -> list[list[list[Network]]]:
    """The training runs of all, side by side where there are cores for it."""
    missing = {repr(config): config for one in prepared for config in one.long()}
    if len(missing) > 1 and cores.available() > 1:
        train_ahead(list(missing.values()), dataset, folder)
    return [one.train() for one in prepared]


def prepared(architecture: Architecture, dataset: DatasetConfig, folder: Path, device: torch.device) -> Prepared:
    """What trains in ``folder``.

    Raises
    ------
    UserError
        If the data set has too few classes, or the network too few outputs for them.
    """
    config = architecture.config
    seeds = named(config.seeds)
    weights = config.weights if isinstance(config, LibraryConfig) else None
    if config.checkpoints or weights:
        raise UserError(
            f"model.train=true trains {config.name} from seeds: leave out model.checkpoints and model.weights."
        )
    stimuli = load(dataset, "train")
    if len(stimuli.classes) < 2:
        found = "one class" if stimuli.classes else "no labels"
        raise UserError(
            f"dataset={stimuli.name} has {found}, and training needs at least two classes: sort its images into class "
            "folders, or compare networks that are trained already."
        )
    preprocess, example = architecture.enter_trained(stimuli)
    model = architecture.initialised(seeds[0][0], len(stimuli.classes)).eval()  # the other seeds' are like it
    layers, units = describe(model, example, config.layers, config.units, config.name)
    _check_outputs(model, example, len(stimuli.classes), config.name)
    size = bytes_of(model)
    training = {f.name: getattr(config.training, f.name) for f in dataclasses.fields(config.training)}
    lying = "" if layout(model) is torch.channels_last else "contiguous"  # other roundings, so other weights
    more = [part for part in (architecture.source, architecture.code, lying) if part]

    def place(init: int, order: int) -> Path:
        what = [config.name, preprocess.describe(), training, stimuli.fingerprint, init, order]
        name = f"{config.name}-{stimuli.name}-init{init}-order{order}-{digest(VERSION, *what, *more)[:12]}"
        return folder / name.replace("/", "_")

    def load_images() -> Images:
        return Images(preprocess.pixels(stimuli, range(len(stimuli))), stimuli.labels, preprocess.normalise)

    on_one = isinstance(config, RecipeConfig) and device.type == "cpu"

    def long() -> list[RecipeConfig]:
        last = checkpoint_steps(config.training, steps_per_epoch(config.training, len(stimuli)))[-1]
        if not isinstance(config, RecipeConfig) or not on_one or last < _LONG:
            return []
        missing = [seed for seed in seeds if not checkpoint_file(place(*seed), last).exists()]
        return [dataclasses.replace(config, seeds=SeedsConfig([i], [o])) for i, o in missing]

    def trained() -> list[list[Network]]:
        runs = []
        for label, (init, order) in zip(labels(seeds), seeds, strict=True):
            build = partial(architecture.initialised, init, len(stimuli.classes))
            with one_thread() if on_one else nullcontext():
                name = f"{config.name} {label}"
                run = TrainingRun(name, build, load_images, len(stimuli), config.training, order)
                checkpoints = train(run, place(init, order), device)
            runs.append(
                [
                    Network(
                        model=config.name,
                        weights=label,
                        seed=init,
                        step=c.step,
                        epoch=c.epoch,
                        weights_hash=digest(architecture.code, c.weights_hash) if architecture.code else c.weights_hash,
                        layers=layers,
                        units=units,
                        preprocess=preprocess,
                        classes=stimuli.classes,
                        builder=partial(_restored, build, c),
                        precision=config.precision,
                        size=size,
                        own_code=bool(architecture.code),
                    )
                    for c in checkpoints
                ]
            )
        return runs

    return Prepared(long, trained)


def _check_outputs(model: nn.Module, example: torch.Tensor, classes: int, name: str) -> None:
    with torch.inference_mode():
        output = tensor_of(model(example))
    if output is None or output.ndim != 2:
        shape = "no tensor" if output is None else f"a tensor of shape {tuple(output.shape)}"
        raise UserError(f"{name} gives {shape}: to be trained here it has to give one number a class, (n, {classes}).")
    if output.shape[1] < classes:
        raise UserError(
            f"{name} has {output.shape[1]} outputs and the data set {classes} classes: make it with as many outputs "
            "(such as model.arguments={num_classes: " + f"{classes}" + "})."
        )


def _restored(build: partial[nn.Module], checkpoint: Checkpoint) -> nn.Module:
    model = build()
    model.load_state_dict(checkpoint.weights())
    return model
