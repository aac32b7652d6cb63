"""One pass over the stimuli, all layers, reduced to units as they appear, into the cache.

The responses go to the cache in chunks of stimuli, under a key that holds everything they depend on, so that whoever
comes first extracts them, a killed job loses at most a chunk, and no more than a chunk is ever in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convergence.activations.cache import Cached, Entry
from convergence.activations.forward import check_finite, forward, on_device
from convergence.activations.loading import Loader
from convergence.alignment import units as rules
from convergence.system.errors import UserError
from convergence.system.hashing import digest

VERSION = 5  # of the extraction: raise it whenever the numbers change
CHUNK_BYTES = 64 * 2**20


def extract(network: Any, loader: Loader, advance: Callable[[int], None] = lambda n: None) -> Cached:
    """Responses of all tapped layers to all stimuli of a loader, from its cache or by one forward pass.

    Parameters
    ----------
    network : a :class:`convergence.models.network.Network`, whose images the loader prepares.
    advance : told of every n stimuli done.

    Raises
    ------
    UserError
        If a response is not finite (the layer and the stimulus), the batch axis is not the stimulus axis, or the module
        is compiled or scripted.
    """
    stimuli = loader.stimuli
    entry = entry_of(network, stimuli, loader.cache, loader.device)
    found = entry.open()
    if found is not None:
        advance(len(stimuli))
        return found
    per_stimulus = values_per_stimulus(network)
    chunk = max(1, min(len(stimuli), CHUNK_BYTES // (4 * per_stimulus)))
    with entry.claim(f"{network.model} {network.weights}"):
        found = entry.open()  # whoever came first may have finished meanwhile
        if found is None:
            start = time.perf_counter()
            fill(entry, network, loader, chunk, advance)
            loader.clock.total += time.perf_counter() - start
            found = entry.open()
        else:
            advance(len(stimuli))
    if found is None:
        raise UserError(
            f"{entry.folder} does not keep what is written to it: check that disk, or choose another cache=…."
        )
    return found


def entry_of(network: Any, stimuli: Any, cache: Path, device: torch.device) -> Entry:
    """Where the responses lie, or will lie: by everything that they depend on, the kind of device among it."""
    key = digest(VERSION, network.key, stimuli.fingerprint, device.type)
    return Entry(cache / "activations" / key[:24])


def values_per_stimulus(network: Any) -> int:
    """Numbers that are kept of each stimulus, of 4 bytes each."""
    return sum(prod(rules.size(layer.shape, layer.units)) for layer in network.layers.values())


def fill(entry: Entry, network: Any, loader: Loader, chunk: int, advance: Callable[[int], None]) -> None:
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
        check_finite(joined, network, stimuli, rows)
        entry.write_chunk(rows.start, joined)
    entry.finish(
        range(0, len(stimuli), chunk),
        list(network.layers),
        stimuli.ids,
        stimuli.labels,
        about={"model": network.model, "weights": network.weights, "stimuli": stimuli.name},
    )
