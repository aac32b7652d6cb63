"""Train a network from its seeds, with the checkpoints that the training axis reads.

Every step's data order, augmentation and dropout follow from (order seed, step) alone, so that a training that was
killed goes on from its last checkpoint as if nothing had happened: on a CPU to the very same weights, on a GPU as far
as its arithmetic repeats itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convergence.models.augmentation import AUGMENTS, dropout_seed, generator
from convergence.models.memory_layout import layout
from convergence.models.optimiser import Optimiser
from convergence.models.options import Schedule, TrainingConfig
from convergence.models.outputs import tensor_of
from convergence.models.training_folder import Checkpoint, TrainingFolder
from convergence.system.claims import only_one
from convergence.system.errors import UserError
from convergence.system.progress import progress


@dataclass(frozen=True)
class Images:
    """uint8 pixels (M, 3, H, W) and labels (M,), and how pixels become input."""

    pixels: Tensor
    labels: Tensor
    normalise: Callable[[Tensor], Tensor]


def steps_per_epoch(config: TrainingConfig, images: int) -> int:
    """Batches that see each image once."""
    return math.ceil(images / config.batch_size)


def checkpoint_steps(config: TrainingConfig, per_epoch: int) -> list[int]:
    """Step 0, log-spaced steps inside the first epoch, and the end of each epoch."""
    early = set()
    if config.epochs and per_epoch > 1 and config.early_checkpoints:
        span = max(1, config.early_checkpoints)
        early = {round((per_epoch / 2) ** (i / max(1, span - 1))) for i in range(span)}
    return sorted({0} | {s for s in early if 0 < s < per_epoch} | {per_epoch * e for e in range(1, config.epochs + 1)})


@dataclass(frozen=True)
class TrainingRun:
    """What a training run is made of.

    Attributes
    ----------
    name : for the progress bar.
    build : makes the untrained network (its initialisation has a seed of its own).
    load_images : gives the training images; called only if there is something to train.
    count : number of training images.
    order_seed : of data order, augmentation and dropout.
    """

    name: str
    build: Callable[[], nn.Module]
    load_images: Callable[[], Images]
    count: int
    config: TrainingConfig
    order_seed: int

    @property
    def per_epoch(self) -> int:
        """Steps."""
        return steps_per_epoch(self.config, self.count)


def train(run: TrainingRun, folder: Path, device: torch.device) -> list[Checkpoint]:
    """Checkpoints of a training run in ``folder``, trained as far as they are missing.

    Raises
    ------
    UserError
        If the loss is no longer finite, with the step and the learning rate; good checkpoints are kept. If the device
        has too little memory, or another process writes other checkpoints into the folder meanwhile.
    """
    name = run.name
    place = TrainingFolder(folder, checkpoint_steps(run.config, run.per_epoch))
    done = place.finished()
    if done is not None:
        return done
    with only_one(folder / "lock", f"{name} is being trained by another process: waiting for it."):
        done = place.finished()
        if done is None:
            place.warn_of_broken()
            try:
                _train(run, place, device)
            except torch.OutOfMemoryError:
                raise UserError(
                    f"training {name} does not fit into the memory of {device}: free some, lower "
                    "model.training.batch_size, or give device=cpu; checkpoints so far are kept."
                ) from None
            done = place.finished()
        if done is None:
            raise UserError(
                f"another process trained {name} at the same time, and to other weights: give the same command again, "
                f"alone, for one training run in {folder}."
            )
        return done


def _train(run: TrainingRun, place: TrainingFolder, device: torch.device) -> None:
    training, config, order_seed, per_epoch = run.load_images(), run.config, run.order_seed, run.per_epoch

    def make() -> tuple[nn.Module, Optimiser]:
        model = run.build().to(device)
        model = model.to(memory_format=layout(model))  # type: ignore[call-overload]
        return model, Optimiser(model, config)

    model, optimiser, start = place.resume(make)
    lying = layout(model)
    pixels, labels = training.pixels.to(device), training.labels.to(device)
    saved = set(place.steps)
    total = place.steps[-1]
    devices = [device] if device.type == "cuda" else []
    with progress(f"Training {run.name}", total, "steps") as advance, torch.random.fork_rng(devices):
        advance(max(start, 0))
        order = torch.empty(0, dtype=torch.int64)
        for step in range(start + 1, total + 1):
            if step > 0:
                at = step - 1
                epoch, position = divmod(at, per_epoch)
                if position == 0 or not len(order):
                    order = torch.randperm(len(labels), generator=generator(order_seed, epoch, 0))
                rate = learning_rate_at(config, at, total)
                batch = order[position * config.batch_size : (position + 1) * config.batch_size].to(device)
                chosen = pixels[batch]
                for purpose, augment in AUGMENTS.items():
                    if purpose in config.augment:
                        chosen = augment(chosen, order_seed, at)
                images = training.normalise(chosen.contiguous(memory_format=lying))
                torch.manual_seed(dropout_seed(order_seed, at))  # a resumed run drops what an undisturbed one does
                loss = train_step(model, optimiser, images, labels[batch], rate, config.mixed_precision)
                # A step may leave broken weights behind a finite loss: they must not become a checkpoint.
                if not math.isfinite(loss) or (step in saved and not _finite(model)):
                    raise UserError(
                        f"training {run.name} diverged at step {step} (learning rate {rate:.3g}): lower "
                        f"model.training.learning_rate; checkpoints before it are kept in {place.folder}."
                    )
                advance(1)
            if step in saved:
                place.save(model, optimiser, step, step / per_epoch)


def train_step(
    model: nn.Module, optimiser: Optimiser, images: Tensor, labels: Tensor, rate: float, mixed: bool
) -> float:
    model.train()
    # bfloat16 has float32's range, so that gradients need no scaling.
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=mixed):
        loss = F.cross_entropy(_outputs(model, images), labels)
    optimiser.forget()
    loss.backward()
    optimiser.step(rate)
    return loss.item()


def _outputs(model: nn.Module, images: Tensor) -> Tensor:
    """(n, classes); of networks with auxiliary outputs the main ones, which come first."""
    found = tensor_of(model(images))
    assert found is not None
    return found


def _finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in model.state_dict().values() if t.is_floating_point())


def learning_rate_at(config: TrainingConfig, step: int, total: int) -> float:
    """Linear warm-up, then the schedule: a cosine or a line to zero, or no change."""
    warm = max(1, round(config.warmup * total))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    left = {Schedule.cosine: 0.5 * (1 + math.cos(math.pi * done)), Schedule.linear: 1 - done, Schedule.constant: 1.0}
    return config.learning_rate * left[config.schedule]
