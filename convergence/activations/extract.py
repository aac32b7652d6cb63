"""Forward hooks: one pass over the stimuli, all layers, reduced to units as they appear.

The responses go to the cache in chunks of stimuli, under a key that holds everything they depend on, so that whoever
comes first extracts them, a killed job loses at most a chunk, and no more than a chunk is ever in memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence.activations.cache import ANSWER, Cached, Entry
from convergence.activations.loading import Clock, Loader, workers_for
from convergence.activations.readout import AnswerReader
from convergence.alignment import units as rules
from convergence.models.options import Units
from convergence.models.outputs import refuse_compiled, response, tensor_of
from convergence.system.errors import UserError
from convergence.system.hashing import digest

VERSION = 3  # of the extraction: raise it whenever the numbers change
_CHUNK_BYTES = 64 * 2**20
_log = logging.getLogger("convergence")


def extract(
    network: Any,
    stimuli: Any,
    *,
    cache: Path,
    device: torch.device,
    batch_size: int,
    workers: int | None,
    advance: Callable[[int], None] = lambda n: None,
    clock: Clock | None = None,
) -> Cached:
    """Responses of all tapped layers to all stimuli, from the cache or by one forward pass.

    Parameters
    ----------
    network : a :class:`convergence.models.network.Network`.
    stimuli : a :class:`convergence.stimuli.base.Stimuli`.
    workers : processes that prepare images; None: as many as there are cores, if the device is a GPU.
    advance : told of every n stimuli done.
    clock : told how long this takes, and how long the device waits for images.

    Raises
    ------
    UserError
        If a response is not finite (the layer and the stimulus), the batch axis is not the stimulus axis, or the module
        is compiled or scripted.
    """
    entry = entry_of(network, stimuli, cache)
    found = entry.open()
    if found is not None:
        advance(len(stimuli))
        return found
    per_stimulus = values_per_stimulus(network)
    chunk = max(1, min(len(stimuli), _CHUNK_BYTES // (4 * per_stimulus)))
    clock = clock or Clock()
    loader = Loader(network.preprocess, stimuli, cache, batch_size, workers_for(workers, device), device, clock)
    with entry.claim(f"{network.model} {network.weights}"):
        found = entry.open()  # whoever came first may have finished meanwhile
        if found is None:
            start = time.perf_counter()
            _fill(entry, network, loader, chunk, advance)
            clock.total += time.perf_counter() - start
            found = entry.open()
        else:
            advance(len(stimuli))
    if found is None:
        raise UserError(
            f"{entry.folder} does not keep what is written to it: check that disk, or choose another cache=…."
        )
    return found


def entry_of(network: Any, stimuli: Any, cache: Path) -> Entry:
    """Where the responses lie, or will lie: by everything that they depend on."""
    key = digest(
        VERSION,
        network.weights_hash,
        network.model,
        network.preprocess.describe(),
        stimuli.fingerprint,
        list(network.layers),
        network.units.value,
        network.precision.value,
    )
    return Entry(cache / "activations" / key[:24])


def values_per_stimulus(network: Any) -> int:
    """Numbers that are kept of each stimulus, of 4 bytes each."""
    return sum(prod(rules.size(layer.shape, network.units.value)) for layer in network.layers.values())


def _fill(entry: Entry, network: Any, loader: Loader, chunk: int, advance: Callable[[int], None]) -> None:
    """Write the chunks that are missing, then the entry's index."""
    stimuli = loader.stimuli
    starts = [s for s in range(0, len(stimuli), chunk) if not entry.has_chunk(s)]
    missing = [range(s, min(s + chunk, len(stimuli))) for s in starts]
    advance(len(stimuli) - sum(map(len, missing)))
    passes = forward(network, on_device(network, loader.device), loader, missing, list(network.layers))
    for rows in missing:
        parts: list[dict[str, Tensor]] = []
        done = 0
        while done < len(rows):
            kept = next(passes)
            parts.append(kept)
            done += len(next(iter(kept.values())))
            advance(len(next(iter(kept.values()))))
        # Off the device at once: within a chunk it need not wait for what it has computed to be copied.
        joined = {layer: torch.cat([p[layer] for p in parts]).cpu() for layer in parts[0]}
        _check(joined, network, stimuli, rows)
        entry.write_chunk(rows.start, joined)
    entry.finish(
        range(0, len(stimuli), chunk),
        list(network.layers),
        stimuli.ids,
        stimuli.labels,
        about={"model": network.model, "weights": network.weights, "stimuli": stimuli.name},
    )


def on_device(network: Any, device: torch.device) -> nn.Module:
    """The network, ready for :func:`forward`."""
    model = network.build().to(device)
    refuse_compiled(model, network.model)
    return model.to(memory_format=torch.channels_last)


def forward(
    network: Any, model: nn.Module, loader: Loader, parts: Sequence[range], layers: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """Units of the layers, (n, N) or (n, P, N) float32 on the device, and answers, batch by batch of the parts."""
    reader = AnswerReader(loader.stimuli, network.classes)
    with taps(model, layers, network.units) as taken:
        for pixels in loader.batches(parts):
            yield from _forward(network, model, pixels, loader.device, taken, reader)


def _forward(
    network: Any,
    model: nn.Module,
    pixels: Tensor,
    device: torch.device,
    taken: dict[str, Tensor],
    reader: AnswerReader,
) -> Iterator[dict[str, Tensor]]:
    """Units of one batch, and its answers where its outputs are understood.

    A batch that does not fit on the device is halved.
    """
    dtype = getattr(torch, network.precision.value)
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            images = network.preprocess.normalise(pixels.to(device, non_blocking=True))
            logits = tensor_of(model(images.contiguous(memory_format=torch.channels_last)))
            kept = {layer: units.float() for layer, units in taken.items()}
            answers = reader.read(logits) if logits is not None and logits.ndim == 2 else None
            if answers is not None:
                kept[ANSWER] = answers[:, None]
    except torch.cuda.OutOfMemoryError:
        if len(pixels) == 1:
            raise
        _log.warning("a batch of %d did not fit on the device and was halved.", len(pixels))
        torch.cuda.empty_cache()
        for half in pixels.chunk(2):
            yield from _forward(network, model, half, device, taken, reader)
        return
    yield kept


@contextmanager
def taps(model: nn.Module, layers: Sequence[str], units: Units) -> Iterator[dict[str, Tensor]]:
    """A dictionary that each forward pass fills with the units of ``layers``; the hooks are removed afterwards.

    A module called twice gives ``name`` and ``name:1``. Only the units that are kept are cloned, since a later
    in-place operation may overwrite the map.
    """
    taken: dict[str, Tensor] = {}
    wanted = set(layers)
    modules = dict(model.named_modules())
    hooks: list[Any] = []
    calls: dict[str, int] = {}
    batch = 0

    def start(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal batch
        batch = len(inputs[0])
        taken.clear()
        calls.clear()

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            again = calls.get(name, 0)
            calls[name] = again + 1
            label = f"{name}:{again}" if again else name
            if label not in wanted:
                return
            tensor = response(module, output)
            if tensor is None:
                raise UserError(
                    f"layer '{name}' gives no tensor, so it can't be tapped; choose others with model.layers."
                )
            if len(tensor) != batch:
                raise UserError(
                    f"layer '{name}' gives {len(tensor)} rows for {batch} images: its first axis is not the "
                    "stimulus, so it can't be tapped; choose other layers with model.layers."
                )
            taken[label] = rules.reduce(tensor, units.value).clone()

        return hook

    try:
        hooks.append(model.register_forward_pre_hook(start))
        for name in dict.fromkeys(layer.split(":")[0] for layer in layers):
            if name not in modules:
                raise UserError(f"layer '{name}' is not a module of the network.")
            hooks.append(modules[name].register_forward_hook(keep(name)))
        yield taken
    finally:
        for handle in hooks:
            handle.remove()


def _check(parts: dict[str, Tensor], network: Any, stimuli: Any, rows: range) -> None:
    for layer, values in parts.items():
        if len(values) != len(rows):
            raise UserError(f"layer '{layer}' of {network.model} gave {len(values)} rows for {len(rows)} stimuli.")
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            row = int((~torch.isfinite(values.reshape(len(values), -1)).all(dim=1)).nonzero()[0])
            raise UserError(
                f"layer '{layer}' of {network.model} ({network.weights}) has a NaN or infinite response to stimulus "
                f"{stimuli.ids[rows[row]]}: check the weights and that image."
            )
