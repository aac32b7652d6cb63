"""Images on their way to the device: prepared by workers, once per input size, while the device is at work.

Resized and cropped images of a data set lie in the cache as bytes, in blocks, so that another network with the same
geometry, or another run, decodes nothing. Normalisation is left to the device.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from convergence.activations.cache import Entry
from convergence.activations.readers import Hold
from convergence.system import cores
from convergence.system.hashing import digest
from convergence.system.turns import Turns

_BLOCK = 64  # images decoded and kept together
_MOST_WORKERS = 8
_PIXELS = "pixels"
_turns = Turns()  # by entry: its blocks are made by one thread at a time


@dataclass
class Clock:
    """Seconds of extraction, and the part of them in which the device had no images to work on."""

    total: float = 0.0
    waited: float = 0.0

    def add(self, others: Sequence[Clock], at_once: int) -> None:
        """What other clocks were told, of which so many ran at once."""
        self.total += sum(other.total for other in others) / at_once
        self.waited += sum(other.waited for other in others) / at_once

    @property
    def share(self) -> float:
        """Share of the time that the device waits for images; its own work is asynchronous, so it is at most that."""
        return self.waited / self.total if self.total else 0.0


def workers_for(wanted: int | None, device: torch.device) -> int:
    """Processes that prepare images: on a GPU as many as it has cores, on a CPU none, since they share its cores."""
    if wanted is not None:
        return wanted
    return min(_MOST_WORKERS, cores.available()) if device.type == "cuda" else 0


def batch_for(wanted: int | Literal["auto"], size: tuple[int, int], device: torch.device) -> int:
    """Images of ``size`` that go through the network together.

    On a CPU as many as make activations that its caches hold, 16 images of 224 × 224, and never more than 64, which
    is faster than 256 at 32 × 32 too. A GPU takes more at a time.
    """
    if wanted != "auto":
        return wanted
    at_224, most = (16, 64) if device.type == "cpu" else (256, 1024)
    fitting = at_224 * 224**2 // (size[0] * size[1])
    return min(most, 2 ** (max(1, fitting).bit_length() - 1))


@dataclass
class Loader:
    """Batches of pixels, uint8 (n, 3, h, w), in order.

    Parameters
    ----------
    preprocess : a :class:`convergence.models.preprocess.Preprocess`.
    cache : folder of what is kept between runs.
    batch_size : images at a time; auto: by their size and the device.
    workers : processes that prepare images; None: as many as there are cores, if the device is a GPU.
    clock : told how long batches were waited for.
    keep : whether decoded images go to the cache.
    """

    preprocess: Any
    stimuli: Any
    cache: Path
    batch_size: int | Literal["auto"]
    workers: int | None
    device: torch.device
    clock: Clock = field(default_factory=Clock)
    keep: bool = True

    def batches(self, parts: Sequence[range]) -> Iterator[Tensor]:
        """Each part's images, ``batch_size`` at a time; a batch never goes over the end of a part."""
        if self.stimuli.at_hand:  # nothing to decode, nothing to keep
            size = self.batch_size
            if size == "auto":
                size = self._batch(self._timed(lambda: self.preprocess.pixels(self.stimuli, [0])))
            for part in parts:
                for rows in _cut(part, size):
                    yield self._timed(lambda rows=rows: self.preprocess.pixels(self.stimuli, rows))  # type: ignore[misc]
            return
        entry = pixels_entry(self.preprocess, self.stimuli, self.cache) if self.keep else None
        hold = None if entry is None else _described(entry, self.stimuli, self.preprocess)
        starts = sorted({row // _BLOCK * _BLOCK for part in parts for row in part})
        source = iter(self._blocks(starts, entry))
        if not starts:
            return
        held = [(starts.pop(0), self._timed(lambda: next(source)))]  # blocks that are not used up
        size = self._batch(held[0][1])
        for part in parts:
            for rows in _cut(part, size):
                while held[-1][0] + len(held[-1][1]) < rows.stop:
                    held.append((starts.pop(0), self._timed(lambda: next(source))))
                held = [(at, block) for at, block in held if at + len(block) > rows.start]
                yield torch.cat([block[max(0, rows.start - at) : rows.stop - at] for at, block in held])
        del hold  # nobody removes the blocks until here

    def _batch(self, pixels: Tensor) -> int:
        return batch_for(self.batch_size, (pixels.shape[-2], pixels.shape[-1]), self.device)

    def _blocks(self, starts: Sequence[int], entry: Entry | None) -> Any:
        blocks = _Blocks(self.preprocess, self.stimuli, entry, tuple(starts))
        workers = min(workers_for(self.workers, self.device), len(starts))
        if workers == 0:
            return map(blocks.__getitem__, range(len(starts)))
        from torch.utils.data import DataLoader

        self.stimuli.prepare()
        pinned = self.device.type == "cuda"
        return DataLoader(blocks, batch_size=None, num_workers=workers, pin_memory=pinned)  # type: ignore[arg-type]

    def _timed(self, work: Any) -> Tensor:
        start = time.perf_counter()
        images = work()
        self.clock.waited += time.perf_counter() - start
        return images


def _cut(part: range, size: int) -> Iterator[range]:
    return (part[i : i + size] for i in range(0, len(part), size))


def pixels_entry(preprocess: Any, stimuli: Any, cache: Path) -> Entry:
    """Where the decoded images lie: by the images, and how they are resized and cropped."""
    key = digest(stimuli.fingerprint, preprocess.geometry(), _BLOCK)
    return Entry(cache / "pixels" / key[:24])


def _described(entry: Entry, stimuli: Any, preprocess: Any) -> Hold:
    """Say in the entry what it is, for ``cache list``, and hold it."""
    hold = Hold(entry.folder)
    entry.describe({"stimuli": stimuli.name, "geometry": preprocess.geometry()})
    return hold


class _Blocks:
    """What the workers do: the i-th block, from the cache or decoded and kept there."""

    def __init__(self, preprocess: Any, stimuli: Any, entry: Entry | None, starts: tuple[int, ...]) -> None:
        self.preprocess, self.stimuli, self.entry, self.starts = preprocess, stimuli, entry, starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> Tensor:
        start = self.starts[i]
        if self.entry is None:
            return self._made(start)
        with _turns.of(self.entry.folder):
            kept = self.entry.chunk(start)
            if kept is not None:
                return kept[_PIXELS]
            pixels = self._made(start)
            self.entry.write_chunk(start, {_PIXELS: pixels})
            return pixels

    def _made(self, start: int) -> Tensor:
        pixels: Tensor = self.preprocess.pixels(self.stimuli, range(start, min(start + _BLOCK, len(self.stimuli))))
        return pixels
