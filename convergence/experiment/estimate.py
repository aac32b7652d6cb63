"""What a run will take, said before the work starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convergence.activations.extract import entry_of, values_per_stimulus
from convergence.activations.forward import on_device
from convergence.activations.loading import batch_for
from convergence.alignment.chance import null as nulls
from convergence.alignment.metrics.catalogue import find
from convergence.axes.comparison import Comparison
from convergence.axes.options import OodConfig
from convergence.experiment.config import Config
from convergence.experiment.folder import metrics_of
from convergence.experiment.memory import in_fold, parted, peak, sizes
from convergence.experiment.representations import is_kept
from convergence.models.memory_layout import layout
from convergence.models.network import Network
from convergence.models.recordings.recording import Recording
from convergence.stimuli.base import Stimuli
from convergence.system import budget

_SAMPLE = 8  # images that the time for all is judged by
_FITS = 150  # floating-point operations per unit cubed that one fold's decompositions and assignments take, about
_RANKS = 2000  # operations that ordering takes per pair of stimuli, about
_GRAM = 20  # the same per stimulus squared and unit of a pair that goes by Gram matrices


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
    extraction_seconds, scoring_seconds : about.
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
            f"({self.process_bytes / 2**20:,.0f} with the program), about {duration(self.seconds)}."
        )


def estimate(cfg: Config, comparisons: Sequence[Comparison], device: torch.device) -> Estimate:
    """Judged by a few images of each kind and by the widths of the layers; nothing is written.

    Raises
    ------
    UserError
        If what is asked for can't be done in the memory or on the disk that there is.
    """
    room = budget.counted(cfg.memory_gb, device) * 2**30

    def lasts(c: Comparison) -> str:
        return duration(_scoring_seconds(cfg, [c]))

    memory = budget.HELD * max(peak(cfg, c, room, budget.usable_on(device), lasts) for c in comparisons)
    wanted = {
        (n.key, images.fingerprint): (n, images) for c in comparisons for n in c.networks for images in c.all_stimuli
    }
    missing = [
        (network, images)
        for network, images in wanted.values()
        if not isinstance(network, Recording) and not entry_of(network, images, Path(cfg.cache), device).is_finished
    ]
    sets = {images.fingerprint: images for _, images in missing}
    forward = _passes(missing, device, cfg.batch_size)
    drawing = sum(_seconds_per_image(images) * len(images) for images in sets.values())
    running = sum(forward[n.model].seconds * len(images) for n, images in missing)
    # Networks that see images in the same way share their pixels.
    pixels = {
        (images.fingerprint, n.preprocess.geometry()): forward[n.model].input_bytes * len(images)
        for n, images in missing
        if not images.at_hand
    }
    now, most = budget.held()  # with the networks that were tried, the recordings and the images that are at hand
    return Estimate(
        comparisons=len(comparisons),
        networks=len({n.key for c in comparisons for n in c.networks}),
        conditions=len({images.fingerprint for c in comparisons for images in c.all_stimuli}),
        images=sum(len(images) for _, images in missing),
        cache_bytes=sum(
            4 * values_per_stimulus(n) * len(images)
            for n, images in missing
            if is_kept(n, images, Path(cfg.cache), cfg.cache_gb, device)
        )
        + sum(pixels.values()),
        memory_bytes=memory,
        process_bytes=max(most, now + (memory if device.type == "cpu" else 0.0)),
        extraction_seconds=drawing + running,
        scoring_seconds=_scoring_seconds(cfg, comparisons),
    )


def _seconds_per_image(images: Stimuli) -> float:
    """Of drawing, distorting or decoding."""
    few = range(min(_SAMPLE, len(images)))
    start = time.perf_counter()
    if images.pixels(few) is None:
        for i in few:
            images.image(i)
    return (time.perf_counter() - start) / len(few)


@dataclass(frozen=True)
class _Pass:
    """One image through one architecture: seconds, and bytes of its pixels."""

    seconds: float
    input_bytes: int


def _passes(missing: Sequence[tuple[Network, Stimuli]], device: torch.device, batch_size: Any) -> dict[str, _Pass]:
    """Of one batch as extraction makes it: its size, and its layout in memory."""
    found: dict[str, _Pass] = {}
    for network, images in missing:
        if network.model not in found:
            model = on_device(network, device)
            height, width = network.preprocess(images, [0]).shape[-2:]
            size = batch_for(batch_size, (height, width), device)
            batch = network.preprocess(images, range(min(size, len(images)))).to(device)
            batch = batch.contiguous(memory_format=layout(model))
            with torch.inference_mode():
                model(batch[:1])
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                start = time.perf_counter()
                model(batch)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
            found[network.model] = _Pass((time.perf_counter() - start) / len(batch), batch[0].numel())
    return found


def _scoring_seconds(cfg: Config, comparisons: Sequence[Comparison]) -> float:
    side = torch.rand(512, 512, dtype=torch.float64)
    torch.mm(side, side)
    start = time.perf_counter()
    torch.mm(side, side)
    rate = 2 * 512**3 / (time.perf_counter() - start)
    null = nulls.of(cfg.null)
    rounds = null.rounds(cfg.metric.names) if null else 1
    operations = 0.0
    for c in comparisons:
        shapes = sizes(c)
        (positions, _), (x, y) = ([{n: size[i] for n, size in s.items()} for s in shapes] for i in range(2))
        narrow, wide_ones = parted(cfg, c, x, y)
        protocols = len(cfg.axis.protocols) if isinstance(cfg.axis, OodConfig) else 1
        times = protocols * len(c.conditions) or 1
        products = sum(positions[a] * x[a] * y[b] for a, b in narrow)
        products += sum(positions[a] * x[a] ** 2 for a in {a for a, _ in narrow})
        products += sum(y[b] ** 2 * positions[a] for b, a in {b: a for a, b in narrow}.items())
        fits = sum(max(x[a], y[b]) * x[a] * y[b] for a, b in narrow)
        if any(find(m).fitted for m in metrics_of(cfg)):
            operations += times * (2 * len(c.stimuli) * products + rounds * _FITS * cfg.metric.folds * fits)
            operations += len(c.stimuli) ** 2 * sum(_GRAM * (x[a] + y[b] + len(c.stimuli)) for a, b in wide_ones)
        if any(not find(m).fitted for m in metrics_of(cfg)):
            tables = in_fold(cfg, c) ** 2 * (sum(x.values()) + sum(y.values()) + _RANKS * (len(x) + len(y)))
            operations += times * cfg.metric.folds * (2 * in_fold(cfg, c) * products + 2 * tables)
    return operations / rate


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """For people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"
