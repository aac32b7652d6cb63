"""Responses on disk: content-addressed, checked, and safe to share between jobs.

An entry is a folder named by its key. It holds chunks of stimuli, each whole or not there and with a checksum of its
own, and at last an index, with one too. Nothing is ever changed in place: two jobs that extract the same entry write
the same bytes, so that no lock is needed for the result to be right. The time of the index is that of the last use.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from convergence.activations.readers import Hold
from convergence.system.claims import only_one
from convergence.system.errors import UserError
from convergence.system.files import state_of, write_atomic
from convergence.system.hashing import digest, hash_tensors

ANSWER = "<answer>"  # the network's own answer to each stimulus, beside its layers
INDEX = "index.json"
ABOUT = "about.json"
LOCK = "lock"
_log = logging.getLogger("convergence")
# What a broken file raises; a signal's exception (a job's time-out) is none of these, and must pass.
_BROKEN = (SafetensorError, OSError, KeyError, ValueError, TypeError)


class Entry:
    """One network's responses to one list of stimuli, in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._whole: dict[int, tuple[int, ...]] = {}  # chunks that were written or verified, and their files' state

    @property
    def is_finished(self) -> bool:
        """Whether all of it was extracted once; :meth:`open` looks at whether it is still whole."""
        return (self.folder / INDEX).is_file()

    def claim(self, name: str) -> AbstractContextManager[None]:
        """Keep others from extracting the same meanwhile; see :func:`convergence.system.claims.only_one`."""
        return only_one(self.folder / LOCK, f"{name} is being extracted by another process: waiting for it.")

    def describe(self, about: Mapping[str, str]) -> None:
        """What an entry without an index is about; its time is that of the last use."""
        path = self.folder / ABOUT
        try:
            os.utime(path)
        except FileNotFoundError:
            write_atomic(path, lambda temporary: temporary.write_text(json.dumps(dict(about))))
        except OSError:  # a cache that may only be read
            pass

    def _chunk(self, start: int) -> Path:
        return self.folder / f"chunk-{start:08d}.safetensors"

    def has_chunk(self, start: int) -> bool:
        """Whether the chunk is there and whole; a broken one is told, and written over.

        One that this entry wrote or verified itself is not read again while its file is untouched.
        """
        state = state_of(self._chunk(start))
        return (state is not None and self._whole.get(start) == state) or self.chunk(start) is not None

    def chunk(self, start: int) -> dict[str, Tensor] | None:
        """The chunk if it is there and whole; a broken one is told, and written over."""
        path = self._chunk(start)
        state = state_of(path)
        if state is None:
            return None
        try:
            with safe_open(path, framework="pt") as handle:
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
                if handle.metadata()["checksum"] == hash_tensors(tensors):
                    self._whole[start] = state
                    return tensors
        except _BROKEN:
            pass
        _log.warning("%s is broken and is extracted again.", path)
        return None

    def write_chunk(self, start: int, tensors: dict[str, Tensor]) -> None:
        tensors = {name: t.contiguous() for name, t in tensors.items()}
        content = save(tensors, metadata={"checksum": hash_tensors(tensors)})
        write_atomic(self._chunk(start), lambda path: path.write_bytes(content))
        state = state_of(self._chunk(start))
        if state is not None and state[0] == len(content):
            self._whole[start] = state

    def finish(
        self,
        starts: Sequence[int],
        layers: Sequence[str],
        ids: Sequence[str],
        labels: Tensor,
        about: Mapping[str, str],
    ) -> None:
        """Write the index: which chunks and stimuli, what they are about, and the accuracy where all are answered."""
        answers = []
        for start in starts:
            with safe_open(self._chunk(start), framework="pt") as handle:
                if ANSWER in handle.keys():  # noqa: SIM118
                    answers.append(handle.get_tensor(ANSWER)[:, 0])
        accuracy = None
        if sum(map(len, answers)) == len(labels):
            accuracy = float((torch.cat(answers) == labels).double().mean())
        index = {
            "layers": list(layers),
            "ids": list(ids),
            "starts": list(starts),
            "accuracy": accuracy,
            "about": dict(about),
        }
        text = json.dumps({"checksum": digest(index), "index": index})
        write_atomic(self.folder / INDEX, lambda path: path.write_text(text))

    def index(self) -> dict[str, Any] | None:
        """The index if the entry is finished and the index whole, else None."""
        try:
            content = json.loads((self.folder / INDEX).read_text())
            return content["index"] if content["checksum"] == digest(content["index"]) else None
        except _BROKEN:
            return None

    def open(self) -> Cached | None:
        """The responses if the entry is finished and every chunk whole, else None."""
        if not self.is_finished:
            return None
        hold = Hold(self.folder)  # before it is looked at
        index = self.index()
        if index is None or not all(self.has_chunk(start) for start in index["starts"]):
            return None
        starts, ids, layers = index["starts"], tuple(index["ids"]), index["layers"]
        chunks = {start: self._chunk(start) for start in starts}
        return Cached(chunks, layers, ids, index["accuracy"], self.folder, hold)


class Cached:
    """Responses read from the cache, as a Representation."""

    def __init__(
        self,
        chunks: dict[int, Path],
        layers: Sequence[str],
        ids: tuple[str, ...],
        accuracy: float | None,
        folder: Path,
        hold: Hold,
    ) -> None:
        self.ids, self.accuracy, self.fingerprint = ids, accuracy, folder.name
        self._index, self._hold = folder / INDEX, hold
        self.rows = len(ids)
        self._chunks = chunks
        self._ends = dict(zip(chunks, [*list(chunks)[1:], self.rows], strict=True))
        first = next(iter(chunks.values()))
        with safe_open(first, framework="pt") as handle:
            shapes = {name: handle.get_slice(name).get_shape() for name in layers}
        self.layers = {name: int(shape[-1]) for name, shape in shapes.items()}
        self.positions = {name: int(shape[1]) if len(shape) == 3 else 1 for name, shape in shapes.items()}

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1; only these are read."""
        with suppress(OSError):  # a cache that may only be read
            os.utime(self._index)
        stop = min(stop, self.rows)
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        for begin, path in self._chunks.items():
            low, high = max(start, begin), min(stop, self._ends[begin])
            if low >= high:
                continue
            with _opened(path) as handle:
                for name in names:
                    parts[name].append(handle.get_slice(name)[low - begin : high - begin])
        return {name: torch.cat(found) if len(found) > 1 else found[0] for name, found in parts.items()}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli."""
        parts = []
        for path in self._chunks.values():
            with _opened(path) as handle:
                parts.append(handle.get_slice(name)[:, start:stop])
        return torch.cat(parts)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        handle = safe_open(path, framework="pt")
    except (OSError, SafetensorError):
        raise UserError(
            f"{path} was removed or damaged while it was read: give the same command again, which extracts it anew."
        ) from None
    with handle as opened:
        yield opened


class Joined:
    """Responses of several networks side by side, as one Representation.

    Parameters
    ----------
    parts : the networks' responses to the same stimuli: :class:`Cached`, or computed when read.
    labels : name of each layer of the whole → which part it is of, and its name there.
    first : only so many of the stimuli; all if None.
    """

    def __init__(self, parts: Sequence[Any], labels: Mapping[str, tuple[int, str]], first: int | None = None) -> None:
        self.parts, self._labels = parts, labels
        self.rows = parts[0].rows if first is None else first
        self.layers = {label: parts[i].layers[name] for label, (i, name) in labels.items()}
        self.positions = {label: parts[i].positions[name] for label, (i, name) in labels.items()}

    @cached_property
    def reliability(self) -> dict[str, Tensor]:
        """(N,) of the layers whose responses were repeated."""
        known = [getattr(part, "reliability", {}) for part in self.parts]
        return {label: known[i][name] for label, (i, name) in self._labels.items() if name in known[i]}

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1."""
        wanted: dict[int, list[str]] = {}
        for label in names:
            i, name = self._labels[label]
            wanted.setdefault(i, []).append(name)
        found = {i: self.parts[i].read(those, start, stop) for i, those in wanted.items()}
        return {label: found[self._labels[label][0]][self._labels[label][1]] for label in names}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli."""
        i, inner = self._labels[name]
        return self.parts[i].columns(inner, start, stop)
