"""Train a network from its seeds, with the checkpoints that the training axis reads.

Every step's data order and augmentation follow from (order seed, step) alone, so that a training that was killed goes
on from its last checkpoint and ends with the very same weights.
"""

from __future__ import annotations

import io
import logging
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from convergence.models.options import Augmentation, Optimizer, Schedule, TrainingConfig
from convergence.system.claims import only_one
from convergence.system.errors import UserError
from convergence.system.files import write_atomic
from convergence.system.hashing import hash_tensors
from convergence.system.progress import progress

_log = logging.getLogger("convergence")
# What a file that is truncated, or not ours, raises; a signal's exception (a job's time-out) is none of these.
_BROKEN = (SafetensorError, OSError, KeyError, ValueError, TypeError)
_EVALUATED = 1000  # held-out images that a checkpoint's accuracy is measured on


@dataclass(frozen=True)
class Images:
    """uint8 pixels (M, 3, H, W) and labels (M,), and how pixels become input."""

    pixels: Tensor
    labels: Tensor
    normalise: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Weights on disk, with where in training they stand."""

    path: Path
    step: int
    epoch: float
    accuracy: float
    weights_hash: str

    def weights(self) -> dict[str, Tensor]:
        return load_file(self.path)


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


def train(
    build: Callable[[], nn.Module],
    load_images: Callable[[], tuple[Images, Images]],
    count: int,
    config: TrainingConfig,
    order_seed: int,
    folder: Path,
    device: torch.device,
    name: str,
) -> list[Checkpoint]:
    """Checkpoints of a training run in ``folder``, trained as far as they are missing.

    Parameters
    ----------
    build : makes the untrained network (its initialisation has a seed of its own).
    load_images : gives training and held-out images; called only if there is something to train.
    count : number of training images.
    order_seed : of data order and augmentation.
    name : for the progress bar.

    Raises
    ------
    UserError
        If the loss is no longer finite, with the step and the learning rate; good checkpoints are kept.
    """
    per_epoch = steps_per_epoch(config, count)
    steps = checkpoint_steps(config, per_epoch)
    done = _finished(folder, steps)
    if done is not None:
        return done
    with only_one(folder / "lock", f"{name} is being trained by another process: waiting for it."):
        done = _finished(folder, steps)
        if done is None:
            _remove_broken(folder, steps)
            training, held_out = load_images()
            _train(build(), training, held_out, config, order_seed, folder, device, name, steps, per_epoch)
            done = _finished(folder, steps)
            assert done is not None
        return done


def _finished(folder: Path, steps: list[int]) -> list[Checkpoint] | None:
    """The checkpoints of these steps if all are there and whole."""
    found = [_read(folder, step) for step in steps if _path(folder, step).exists()]
    whole = [c for c in found if c is not None]
    return whole if len(whole) == len(steps) else None


def _read(folder: Path, step: int) -> Checkpoint | None:
    """The checkpoint if its weights are what was written."""
    path = _path(folder, step)
    try:
        with safe_open(path, framework="pt") as handle:
            meta = handle.metadata()
            weights = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        if hash_tensors(weights) == meta["hash"]:
            return Checkpoint(path, step, float(meta["epoch"]), float(meta["accuracy"]), meta["hash"])
    except _BROKEN:
        pass
    return None


def _remove_broken(folder: Path, steps: list[int]) -> None:
    for step in steps:
        if _path(folder, step).exists() and _read(folder, step) is None:
            _log.warning("%s is broken: its network is trained again.", _path(folder, step))
            _path(folder, step).unlink()


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:07d}.safetensors"


def _train(
    model: nn.Module,
    training: Images,
    held_out: Images,
    config: TrainingConfig,
    order_seed: int,
    folder: Path,
    device: torch.device,
    name: str,
    steps: list[int],
    per_epoch: int,
) -> None:
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(model, config)
    start = _resume(folder, model, optimizer, steps)
    pixels, labels = training.pixels.to(device), training.labels.to(device)
    saved = set(steps)
    total = steps[-1]
    with progress(f"Training {name}", total, "steps") as advance:
        advance(max(start, 0))
        order = torch.empty(0, dtype=torch.int64)
        for step in range(start + 1, total + 1):
            if step > 0:
                at = step - 1
                epoch, place = divmod(at, per_epoch)
                if place == 0 or not len(order):
                    order = torch.randperm(len(labels), generator=_generator(order_seed, epoch, 0))
                rate = _learning_rate(config, at, total)
                batch = order[place * config.batch_size : (place + 1) * config.batch_size].to(device)
                chosen = pixels[batch]
                for purpose, augment in _AUGMENTS.items():
                    if purpose in config.augment:
                        chosen = augment(chosen, order_seed, at)
                images = training.normalise(chosen)
                loss = _step(model, optimizer, images, labels[batch], rate, config.mixed_precision)
                # A step may leave broken weights behind a finite loss: they must not become a checkpoint.
                if not math.isfinite(loss) or (step in saved and not _finite(model)):
                    raise UserError(
                        f"training {name} diverged at step {step} (learning rate {rate:.3g}): lower "
                        f"model.training.learning_rate; checkpoints before it are kept in {folder}."
                    )
                advance(1)
            if step in saved:
                _save(folder, model, optimizer, step, step / per_epoch, _accuracy(model, held_out, device))


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, rate: float, mixed: bool
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    model.train()
    # bfloat16 has float32's range, so that gradients need no scaling.
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=mixed):
        loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.item()


def _finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in model.state_dict().values() if t.is_floating_point())


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.optimizer is Optimizer.adamw:
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0)


def _learning_rate(config: TrainingConfig, step: int, total: int) -> float:
    """Linear warm-up, then the schedule: a cosine or a line to zero, or no change."""
    warm = max(1, round(config.warmup * total))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    left = {Schedule.cosine: 0.5 * (1 + math.cos(math.pi * done)), Schedule.linear: 1 - done, Schedule.constant: 1.0}
    return config.learning_rate * left[config.schedule]


def _generator(seed: int, step: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 3 + purpose)


def _shift(pixels: Tensor, seed: int, step: int) -> Tensor:
    """Each image moved by up to an eighth of its side, edges repeated."""
    generator = _generator(seed, step, 1)
    n, _, height, width = pixels.shape
    reach = max(1, width // 8)
    moves = torch.randint(-reach, reach + 1, (2, n, 1), generator=generator)
    rows = (torch.arange(height) + moves[0]).clamp(0, height - 1).to(pixels.device)
    columns = (torch.arange(width) + moves[1]).clamp(0, width - 1).to(pixels.device)
    image = torch.arange(n, device=pixels.device)[:, None, None]
    return pixels.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _flip(pixels: Tensor, seed: int, step: int) -> Tensor:
    """Every other image mirrored, left to right."""
    mirrored = torch.randint(0, 2, (len(pixels), 1, 1, 1), generator=_generator(seed, step, 2)).bool()
    return torch.where(mirrored.to(pixels.device), pixels.flip(-1), pixels)


_AUGMENTS = {Augmentation.shift: _shift, Augmentation.flip: _flip}


@torch.inference_mode()
def _accuracy(model: nn.Module, held_out: Images, device: torch.device) -> float:
    model.eval()
    labels = held_out.labels[:_EVALUATED]
    right = 0
    for start in range(0, len(labels), 250):
        images = held_out.normalise(held_out.pixels[start : min(start + 250, len(labels))].to(device))
        answers = model(images.contiguous(memory_format=torch.channels_last)).argmax(dim=1).cpu()
        right += int((answers == labels[start : start + 250]).sum())
    return right / len(labels)


def _save(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, epoch: float, accuracy: float
) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    meta = {"step": str(step), "epoch": repr(epoch), "accuracy": repr(accuracy), "hash": hash_tensors(weights)}
    write_atomic(_path(folder, step), lambda path: path.write_bytes(save(weights, metadata=meta)))
    state = io.BytesIO()
    torch.save({"model": weights, "optimizer": optimizer.state_dict(), "step": step}, state)
    write_atomic(folder / "resume.pt", lambda path: path.write_bytes(state.getvalue()))


def _resume(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, steps: list[int]) -> int:
    """The last step that is saved whole, with the network and the optimiser set to it; -1 if there is none."""
    try:
        state = torch.load(folder / "resume.pt", map_location="cpu", weights_only=True)
        if _finished(folder, [s for s in steps if s <= state["step"]]) is None:
            return -1
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except (*_BROKEN, RuntimeError, EOFError, pickle.UnpicklingError):  # from the beginning, to the same end
        return -1
