"""What the networks of a run answered to its stimuli."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event, Lock
from typing import Any

import torch

from convergence.activations.cache import Cached, Joined
from convergence.activations.extract import entry_of, extract, values_per_stimulus
from convergence.activations.loading import Clock, Loader, pixels_entry
from convergence.activations.recorded import Recorded
from convergence.activations.streaming import Streamed
from convergence.activations.upkeep import items
from convergence.axes.comparison import Comparison, labels
from convergence.experiment import beside
from convergence.experiment.config import Config
from convergence.models.network import Network
from convergence.models.options import Units
from convergence.models.recordings.recording import Recording
from convergence.stimuli.base import Stimuli
from convergence.system.errors import UserError
from convergence.system.progress import progress
from convergence.system.threads import side_by_side

_Responses = Cached | Streamed | Recorded
_log = logging.getLogger("convergence")
_WORTH_A_WORD = 5.0  # seconds


class Representations:
    """Responses from the cache, or extracted before anything is scored: each image once per network.

    What would take more than ``cache_gb`` is computed whenever it is read (``units=samples``).
    """

    def __init__(self, comparisons: Sequence[Comparison], cfg: Config, device: torch.device, clock: Clock) -> None:
        self._cfg, self._device = cfg, device
        self.clock = clock
        # By network and images: read and verified once, however many comparisons they enter.
        self._open: dict[tuple[str, str], _Responses] = {}
        # Bytes of decoded images, by entry: those that lie there, and those that this run adds.
        self._pixels = {item.folder: item.bytes for item in items(Path(cfg.cache)) if item.kind == "pixels"}
        self._added: list[Path] = []  # entries of the cache
        self._lock = Lock()  # threads extract side by side
        self._extract_all(comparisons)

    def _extract_all(self, comparisons: Sequence[Comparison]) -> None:
        """One set of stimuli after another, all networks that need it; some side by side."""
        tasks = beside.tasks(comparisons)
        jobs, at_once = beside.jobs(tasks, self._cfg, self._device)
        clocks, over = [], Event()
        with progress("Extracting", sum(len(images) for _, images in tasks), "images") as advance:

            def counted(n: int) -> None:
                if over.is_set():
                    raise CancelledError
                with self._lock:
                    advance(n)

            def work(job: Sequence[beside.Task]) -> None:
                clock = Clock()
                clocks.append(clock)
                for network, images in job:
                    self._open[network.key, images.fingerprint] = self._extract(network, images, counted, clock)

            side_by_side(work, jobs, at_once, over)
        self.clock.add(clocks, at_once)
        if self.clock.total > _WORTH_A_WORD:
            _log.info(
                "extraction took %.0f s; of these, images were waited for %.0f %%.",
                self.clock.total,
                100 * self.clock.share,
            )

    def _extract(self, network: Network, images: Stimuli, advance: Callable[[int], None], clock: Clock) -> _Responses:
        if isinstance(network, Recording):
            advance(len(images))
            return Recorded(network, images)
        cfg, cache = self._cfg, Path(self._cfg.cache)
        entries = (entry_of(network, images, cache, self._device), pixels_entry(network.preprocess, images, cache))
        self._added += [entry.folder for entry in entries if not entry.folder.exists()]
        kept = is_kept(network, images, cache, cfg.cache_gb, self._device)
        workers = cfg.workers if kept else 0  # they would be started for each reading
        with self._lock:
            how: Any = {"clock": clock, "keep": self._has_room(network, images)}
        loader = Loader(network.preprocess, images, cache, cfg.batch_size, workers, self._device, **how)
        if kept:
            return extract(network, loader, advance)
        advance(len(images))
        return Streamed(network, loader)

    def _has_room(self, network: Network, images: Stimuli) -> bool:
        """Whether decoded images go to the cache: all of them together take no more than ``cache_gb``."""
        if images.at_hand or entry_of(network, images, Path(self._cfg.cache), self._device).is_finished:
            return True  # nothing is decoded
        entry = pixels_entry(network.preprocess, images, Path(self._cfg.cache))
        if entry.folder not in self._pixels:
            size = network.preprocess.pixels(images, [0]).numel() * len(images)
            if sum(self._pixels.values()) + size > self._cfg.cache_gb * 2**30:
                return False
            self._pixels[entry.folder] = size
        return True

    def forget(self) -> None:
        """Remove from the cache what this run has added to it."""
        self._open.clear()
        for folder in self._added:
            shutil.rmtree(folder, ignore_errors=True)

    def of(self, comparison: Comparison, images: Stimuli) -> tuple[Joined, Joined]:
        """Both sides' responses to these images."""
        if any(self._open[n.key, images.fingerprint].ids != images.ids for n in comparison.networks):
            raise AssertionError("a network saw other stimuli")  # a bug of ours, never a user's
        x, y = (
            Joined([self._open[n.key, images.fingerprint] for n in side], labels(side), comparison.first)
            for side in (comparison.x, comparison.y)
        )
        return x, y


def is_kept(network: Network, images: Stimuli, cache: Path, cache_gb: float, device: torch.device) -> bool:
    """Whether the responses go to the cache: they are there, or they take no more than ``cache_gb``.

    Raises
    ------
    UserError
        If there is no room for flattened maps, which are read unit by unit, and so have to be kept.
    """
    entry = entry_of(network, images, cache, device)
    if entry.is_finished:
        return True
    size, room = 4 * values_per_stimulus(network) * len(images), cache_gb * 2**30
    if network.units is not Units.flatten:
        return size <= room
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    room = min(room, shutil.disk_usage(there).free)
    if size > room:
        raise UserError(
            f"units=flatten gives {values_per_stimulus(network):,} units of {network.model}, {size / 2**30:.3g} GiB "
            f"for {len(images):,} stimuli, and there is room for {room / 2**30:.3g} GiB in {cache}: tap fewer layers "
            "(model.layers), take fewer stimuli, raise cache_gb, or use units=samples, which is not kept."
        )
    return True
