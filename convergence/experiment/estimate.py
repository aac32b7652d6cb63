"""What a run will take, said before the work starts."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from convergence.activations.cache import Entry
from convergence.activations.extract import entry_of, extract, values_per_stimulus
from convergence.activations.loading import Loader, batch_for, pixels_entry
from convergence.alignment.chance import null as nulls
from convergence.axes.comparison import Comparison
from convergence.axes.options import Protocol
from convergence.experiment import beside, pilot
from convergence.experiment.config import Config
from convergence.experiment.folder import metrics_of
from convergence.experiment.memory import late, peak, sizes
from convergence.experiment.representations import is_kept
from convergence.experiment.rows import protocols_of
from convergence.models.network import Network
from convergence.models.recordings.recording import Recording
from convergence.stimuli.base import Stimuli
from convergence.system import budget
from convergence.system.memory import held
from convergence.system.threads import shared_by

_LOOK, _LOOKS = 0.05, 1.0  # seconds for which images of a set are drawn to judge the time for all; for all sets
_MOST = 64  # of them at most
_ROOM = 1.0  # GiB that any piece of the scoring fits into that is timed
_SPEND = 1.5  # seconds that judging the time of scoring may take, about
_SHORT = 0.5  # seconds of forward passes that need not be known well


@dataclass(frozen=True)
class Estimate:
    """Work that is still to be done.

    Attributes
    ----------
    comparisons, networks, conditions : how many; conditions are sets of stimuli.
    images : forward passes.
    cache_bytes : that the responses, and the pixels that they are to, will take on disk.
    memory_bytes : that scoring will hold: moments, Gram matrices or a fold's responses, cut to the budget.
    process_bytes : that the whole process will hold at its peak: the program and what it has read, too.
    extraction_seconds, scoring_seconds : about; judged by doing a little of both. Networks are trained by now.
    figures : whether figures are drawn after that, whose time is not in it.
    """

    comparisons: int
    networks: int
    conditions: int
    images: int
    cache_bytes: int
    memory_bytes: float
    process_bytes: float
    extraction_seconds: float
    scoring_seconds: float
    figures: bool = False

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.extraction_seconds + self.scoring_seconds

    def __str__(self) -> str:
        sets = f" on {self.conditions} sets of stimuli" if self.conditions > 1 else ""
        return (
            f"{_count(self.comparisons, 'comparison')} of {_count(self.networks, 'network')}{sets}: "
            f"{_count(self.images, 'image')} to extract, {self.cache_bytes / 2**20:,.0f} MiB on disk, "
            f"{self.memory_bytes / 2**20:,.0f} MiB of memory "
            f"({self.process_bytes / 2**20:,.0f} with the program), {about(self.seconds, self.figures)}."
        )


def estimate(cfg: Config, comparisons: Sequence[Comparison], device: torch.device) -> Estimate:
    """Judged by a few images of each kind and a few layers of each width; nothing of it is kept.

    Raises
    ------
    UserError
        If what is asked for can't be done in the memory or on the disk that there is.
    """
    room = budget.counted(cfg.memory_gb, device) * 2**30

    def lasts(c: Comparison) -> str:
        return duration(_scoring_seconds(cfg, [c], device))

    memory = budget.planned(max(peak(cfg, c, room, budget.usable_on(device), lasts) for c in comparisons))
    cache = Path(cfg.cache)
    asked = [(n, images) for n, images in beside.tasks(comparisons) if not isinstance(n, Recording)]
    entries = [entry_of(n, images, cache, device) for n, images in asked]
    there = [entry for entry in entries if entry.is_finished]
    missing = [one for one, entry in zip(asked, entries, strict=True) if not entry.is_finished]
    kept = [one for one in missing if is_kept(*one, cache, cfg.cache_gb, device)]
    # Networks that see images in the same way share their pixels.
    ways = {(images.fingerprint, n.preprocess.geometry()): (n, images) for n, images in missing}
    new = [(n, i) for n, i in ways.values() if not pixels_entry(n.preprocess, i, cache).folder.exists()]
    look = min(_LOOK, _LOOKS / max(1, len(new)))
    _, at_once = beside.jobs(missing, cfg, device)
    with shared_by(at_once):  # as each of those at work will be
        passes = _passes(missing, device, cfg.batch_size)
        drawing = sum(_drawing(*one, look) for one in new)
    running = sum(passes[n.model].beside + passes[n.model].seconds * len(images) for n, images in missing)
    # Beside the one that was tried, of few images.
    together = (at_once - 1) * max(map(beside.held, missing), default=0) + max(map(beside.answers, kept), default=0)
    now, most = held()  # with the networks that were tried, the recordings and the images that are at hand
    return Estimate(
        comparisons=len(comparisons),
        networks=len({n.key for c in comparisons for n in c.networks}),
        conditions=len({images.fingerprint for c in comparisons for images in c.all_stimuli}),
        images=sum(len(images) for _, images in missing),
        cache_bytes=sum(4 * values_per_stimulus(n) * len(images) for n, images in kept)
        + sum(passes[n.model].input_bytes * len(images) for n, images in ways.values() if not images.at_hand),
        memory_bytes=memory,
        process_bytes=max(
            most + together, now + max(late(cfg, c) for c in comparisons) + memory * (device.type == "cpu")
        ),
        extraction_seconds=(running + drawing) / at_once + _reading(there),
        scoring_seconds=_scoring_seconds(cfg, comparisons, device),
        figures=cfg.figures,
    )


def _drawing(network: Network, images: Stimuli, look: float) -> float:
    """Seconds to draw, distort or decode all images as the network sees them."""
    images.prepare()
    each, spent, stop, count = math.inf, -math.inf, len(images), 1  # what is done but once goes by with the first
    while spent < look and count <= min(_MOST, stop):
        start = time.perf_counter()
        network.preprocess.pixels(images, range(stop - count, stop))  # not the same again: some are kept
        taken = time.perf_counter() - start
        each, stop = min(each, taken / count), stop - count
        spent, count = (0.0, 1) if spent < 0 else (spent + taken, 4 * count)
    return each * len(images)


def _reading(entries: Sequence[Entry]) -> float:
    """Seconds to read what lies in the cache and see whether it is whole, by one file of it."""
    files = [file for entry in entries for file in entry.folder.glob("chunk-*")]
    if not files:
        return 0.0
    start = time.perf_counter()
    entries[0].chunk(0)
    taken = time.perf_counter() - start
    return taken * sum(file.stat().st_size for file in files) / files[0].stat().st_size


@dataclass(frozen=True)
class _Pass:
    """Images through one architecture: seconds beside them and for each, and bytes of an image's pixels."""

    beside: float
    seconds: float
    input_bytes: int


def _passes(missing: Sequence[tuple[Network, Stimuli]], device: torch.device, batch_size: Any) -> dict[str, _Pass]:
    """Of a batch, extracted as all of them will be."""
    asked: Counter[str] = Counter()
    for network, images in missing:
        asked[network.model] += len(images)
    found: dict[str, _Pass] = {}
    for network, images in missing:
        if network.model not in found:
            found[network.model] = _passed(network, images, device, batch_size, asked[network.model])
    return found


def _passed(network: Network, images: Stimuli, device: torch.device, batch_size: Any, asked: int) -> _Pass:
    first = network.preprocess.pixels(images, [0])
    few = min(batch_for(batch_size, (first.shape[-2], first.shape[-1]), device), len(images))
    model = network.build()
    network = replace(network, builder=lambda: model)  # built once, however often it is timed
    with tempfile.TemporaryDirectory() as place:

        def took(count: int) -> float:
            loader = Loader(network.preprocess, images.take(range(count)), Path(place), batch_size, 0, device)
            shutil.rmtree(entry_of(network, loader.stimuli, loader.cache, device).folder, ignore_errors=True)
            start = time.perf_counter()
            extract(network, loader)
            return time.perf_counter() - start

        most = took(few)  # with what is done but once, and the images' decoding
        if most * asked / few < _SHORT:
            return _Pass(0.0, most / few, first.numel())
        all_of_them, _, alone = took(few), took(1), took(1)
    each = max(0.0, all_of_them - alone) / (few - 1) if few > 1 else alone
    return _Pass(max(0.0, alone - each), each, first.numel())


def _scoring_seconds(cfg: Config, comparisons: Sequence[Comparison], device: torch.device) -> float:
    """Of all comparisons; those of layers of the same sizes are judged once."""
    options = {
        "metrics": metrics_of(cfg),
        "folds": cfg.metric.folds,
        "seed": cfg.metric.seed,
        "device": device,
        "memory_gb": max(_ROOM, budget.counted(cfg.memory_gb, device)),
    }
    times: Counter[tuple[Any, ...]] = Counter()
    for c in comparisons:
        x, y = sizes(c)
        protocols = protocols_of(cfg, c)
        refitted = len(c.conditions) * (Protocol.refit in protocols) if protocols else 1
        carried = len(c.conditions) * (Protocol.transfer in protocols)
        times[tuple(x.items()), tuple(y.items()), c.pairs, c.first or len(c.stimuli), refitted, carried] += 1
    null, spend, total = nulls.of(cfg.null), _SPEND / len(times), 0.0
    for (x_sizes, y_sizes, pairs, rows, refitted, carried), n in times.items():
        work = pilot.Work(dict(x_sizes), dict(y_sizes), pairs, rows, options)
        total += pilot.seconds(work, null, refitted, carried, spend, n)
    return total


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def about(seconds: float, figures: bool) -> str:
    """What a time of extraction and scoring covers, and what comes after it."""
    drawn = ", then the figures, a few seconds each" if figures else ""
    return f"about {duration(seconds)} to extract and score{drawn}"


def duration(seconds: float) -> str:
    """For people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"
