"""The folder of one training run: its checkpoints, and the state that an interrupted one goes on from."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from convergence.models.optimiser import Optimiser
from convergence.system.errors import UserError
from convergence.system.files import state_of, write_atomic
from convergence.system.hashing import hash_tensors

_log = logging.getLogger("convergence")
_STATE = "resume.pt"
_CHECK = 32  # bytes of the SHA-256 that the state begins with
# What a file that is truncated, or not ours, raises; a signal's exception (a job's time-out) is none of these.
_BROKEN = (SafetensorError, OSError, KeyError, ValueError, TypeError)


def checkpoint_file(folder: Path, step: int) -> Path:
    """Where the weights after so many steps lie."""
    return folder / f"step-{step:07d}.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Weights on disk, with where in training they stand."""

    path: Path
    step: int
    epoch: float
    weights_hash: str

    def weights(self) -> dict[str, Tensor]:
        """The weights that ``weights_hash`` is of.

        Raises
        ------
        UserError
            If the file holds others by now, or none.
        """
        try:
            weights = load_file(self.path)
        except _BROKEN:
            weights = {}
        if hash_tensors(weights) != self.weights_hash:
            raise UserError(
                f"{self.path} was removed, damaged or trained again since this run read it: give the same command "
                "again, which compares the networks that are there now."
            )
        return weights


class TrainingFolder:
    """Checkpoints at ``steps``, each naming the one before it.

    Two jobs may train one network at the same time, and where their arithmetic is not the same to the last bit (on a
    GPU), a folder may hold checkpoints of both. They count as one training run only if each follows from the last.
    """

    def __init__(self, folder: Path, steps: Sequence[int]) -> None:
        self.folder, self.steps = folder, steps
        self._last = ""  # hash of the checkpoint that was saved last
        # Those that were written or found whole, and their files' state: none is read again while that is the same.
        self._known: dict[int, tuple[tuple[int, ...] | None, tuple[Checkpoint, str | None]]] = {}

    def path(self, step: int) -> Path:
        return checkpoint_file(self.folder, step)

    def finished(self, until: int | None = None) -> list[Checkpoint] | None:
        """The checkpoints (until a step) if all of them are there, whole, and of one training run."""
        found: list[Checkpoint] = []
        for step in self.steps:
            if until is not None and step > until:
                break
            read = self._read(step)
            if read is None:
                return None
            checkpoint, before = read
            if before is not None and before != (found[-1].weights_hash if found else ""):
                return None
            found.append(checkpoint)
        return found

    def _read(self, step: int) -> tuple[Checkpoint, str | None] | None:
        """The checkpoint if it is what was written, and the hash of the one before it (older files do not say)."""
        path = self.path(step)
        state = state_of(path)
        if state is None:
            return None
        if step in self._known and self._known[step][0] == state:
            return self._known[step][1]
        try:
            with safe_open(path, framework="pt") as handle:
                about = handle.metadata()
                weights = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            if hash_tensors(weights) == about["hash"]:
                checkpoint = Checkpoint(path, step, float(about["epoch"]), about["hash"])
                self._known[step] = state, (checkpoint, about.get("after"))
                return self._known[step][1]
        except _BROKEN:
            pass
        return None

    def warn_of_broken(self) -> None:
        """Say which checkpoints are there and broken; they are written again."""
        for step in self.steps:
            if self.path(step).exists() and self._read(step) is None:
                _log.warning("%s is broken: its network is trained again.", self.path(step))

    def save(self, model: nn.Module, optimiser: Optimiser, step: int, epoch: float) -> None:
        """Write a checkpoint, then the state to go on from."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        about = {"step": str(step), "epoch": repr(epoch), "hash": hash_tensors(weights), "after": self._last}
        content = save(weights, metadata=about)
        write_atomic(self.path(step), lambda path: path.write_bytes(content))
        state = state_of(self.path(step))
        if state is not None and state[0] == len(content):
            self._known[step] = state, (Checkpoint(self.path(step), step, epoch, about["hash"]), self._last)
        self._last = about["hash"]
        buffer = io.BytesIO()
        torch.save({"model": weights, "optimizer": optimiser.state_dict(), "step": step}, buffer)
        content = hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()
        write_atomic(self.folder / _STATE, lambda path: path.write_bytes(content))

    def resume(self, make: Callable[[], tuple[nn.Module, Optimiser]]) -> tuple[nn.Module, Optimiser, int]:
        """The network and its optimiser as they were saved last, and that step; else untrained ones and -1.

        A network into which the state could be loaded in part only is never the one that is returned.
        """
        state = self._state()
        if state is not None:
            model, optimiser = make()
            try:
                model.load_state_dict(state["model"])
                optimiser.load_state_dict(state["optimizer"])
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, KeyError, ValueError, TypeError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
                _log.warning("%s cannot be gone on from (%s): training starts over.", self.folder / _STATE, reason)
            else:
                self._last = hash_tensors(state["model"])
                return model, optimiser, int(state["step"])
        self._last = ""
        return *make(), -1

    def _state(self) -> dict[str, Any] | None:
        """What :meth:`save` wrote last, if it is whole and belongs to the checkpoints that are there."""
        try:
            content = (self.folder / _STATE).read_bytes()
            if hashlib.sha256(content[_CHECK:]).digest() != content[:_CHECK]:
                return None
            state = torch.load(io.BytesIO(content[_CHECK:]), map_location="cpu", weights_only=True)
            done = self.finished(state["step"]) if state["step"] in self.steps else None
            return state if done and done[-1].weights_hash == hash_tensors(state["model"]) else None
        except (*_BROKEN, RuntimeError, EOFError, pickle.UnpicklingError):  # of another torch
            return None
