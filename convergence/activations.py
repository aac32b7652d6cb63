"""Forward hooks: one pass over the stimuli, all layers, reduced to units as they appear.

The responses go to the cache in chunks of stimuli, under a key that holds everything they depend on, so that whoever
comes first extracts them, a killed job loses at most a chunk, and no more than a chunk is ever in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence import units as rules
from convergence.answers import AnswerReader
from convergence.cache import ANSWER, Cached, Entry
from convergence.config import Precision, Units
from convergence.errors import UserError
from convergence.hooks import refuse_compiled, response, tensor_of
from convergence.stimuli.base import digest

_VERSION = 3  # of the extraction: raise it whenever the numbers change
_CHUNK_BYTES = 64 * 2**20
_log = logging.getLogger("convergence")


def extract(
    network: Any,
    stimuli: Any,
    *,
    cache: Path,
    device: torch.device,
    batch_size: int,
    workers: int,
    memory_gb: float,
    advance: Callable[[int], None] = lambda n: None,
) -> Cached:
    """Responses of all tapped layers to all stimuli, from the cache or by one forward pass.

    Parameters
    ----------
    network : a :class:`convergence.models.network.Network`.
    stimuli : a :class:`convergence.stimuli.base.Stimuli`.
    advance : told of every n stimuli done.

    Raises
    ------
    UserError
        If a response is not finite (the layer and the stimulus), the batch axis is not the stimulus axis, the module is
        compiled or scripted, or ``units=flatten`` would take more memory than there is.
    """
    entry = entry_of(network, stimuli, cache)
    found = entry.open()
    if found is not None:
        advance(len(stimuli))
        return found
    per_stimulus = values_per_stimulus(network)
    if network.units is Units.flatten and per_stimulus * 4 * batch_size > memory_gb * 2**30:
        raise UserError(
            f"units=flatten gives {per_stimulus:,} units of {network.model}, {per_stimulus * 4 / 2**20:.0f} MiB "
            f"for each stimulus and more than memory_gb={memory_gb:g} for a batch of {batch_size}: tap fewer layers, "
            "or use units=center."
        )
    chunk = max(1, min(len(stimuli), _CHUNK_BYTES // (4 * per_stimulus)))
    _fill(entry, network, stimuli, device, batch_size, workers, chunk, advance)
    found = entry.open()
    assert found is not None
    return found


def entry_of(network: Any, stimuli: Any, cache: Path) -> Entry:
    """Where the responses lie, or will lie: by everything that they depend on."""
    key = digest(
        _VERSION,
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


def _fill(
    entry: Entry,
    network: Any,
    stimuli: Any,
    device: torch.device,
    batch_size: int,
    workers: int,
    chunk: int,
    advance: Callable[[int], None],
) -> None:
    """Write the chunks that are missing, then the entry's index."""
    model = network.build().to(device)
    refuse_compiled(model, network.model)
    model = model.to(memory_format=torch.channels_last)
    reader = AnswerReader(stimuli, network.classes)
    starts = [s for s in range(0, len(stimuli), chunk) if not entry.has_chunk(s)]
    with taps(model, list(network.layers), network.units) as taken:
        advance(len(stimuli) - sum(min(chunk, len(stimuli) - s) for s in starts))
        for start in starts:
            stop = min(start + chunk, len(stimuli))
            parts: list[dict[str, Tensor]] = []
            for indices, images in _batches(network, stimuli, range(start, stop), batch_size, workers):
                for kept in _forward(model, images, device, network.precision, taken, reader):
                    parts.append(kept)
                advance(len(indices))
            joined = {layer: torch.cat([p[layer] for p in parts]) for layer in parts[0]}
            _check(joined, network, stimuli, start, stop)
            entry.write_chunk(start, joined)
    entry.finish(list(network.layers), stimuli.ids, stimuli.labels)


def _forward(
    model: nn.Module,
    images: Tensor,
    device: torch.device,
    precision: Precision,
    taken: dict[str, Tensor],
    reader: AnswerReader,
) -> Iterator[dict[str, Tensor]]:
    """Units of one batch, and its answers where its outputs are understood.

    A batch that does not fit on the device is halved.
    """
    narrow = precision is not Precision.float32
    try:
        with torch.inference_mode(), torch.autocast(device.type, getattr(torch, precision.value), enabled=narrow):
            images_there = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            logits = tensor_of(model(images_there))
        kept = {layer: units.float().cpu() for layer, units in taken.items()}
        answers = reader.read(logits) if logits is not None and logits.ndim == 2 else None
        if answers is not None:
            kept[ANSWER] = answers[:, None].cpu()
    except torch.cuda.OutOfMemoryError:
        if len(images) == 1:
            raise
        _log.warning("a batch of %d did not fit on the device and was halved.", len(images))
        torch.cuda.empty_cache()
        for half in images.chunk(2):
            yield from _forward(model, half, device, precision, taken, reader)
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


def _batches(
    network: Any, stimuli: Any, rows: range, batch_size: int, workers: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of input, prepared by worker processes if there are any."""
    batches = [list(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    prepare = _Prepare(network.preprocess, stimuli, batches)
    if workers == 0 or len(batches) == 1:
        images: Any = map(prepare.__getitem__, range(len(batches)))
    else:
        from torch.utils.data import DataLoader

        images = DataLoader(prepare, batch_size=None, num_workers=min(workers, len(batches)))  # type: ignore[arg-type]
    yield from zip(batches, images, strict=True)


class _Prepare:
    """What the workers do: the i-th batch of input."""

    def __init__(self, preprocess: Any, stimuli: Any, batches: list[list[int]]) -> None:
        self.preprocess, self.stimuli, self.batches = preprocess, stimuli, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> Tensor:
        return self.preprocess(self.stimuli, self.batches[i])


def _check(parts: dict[str, Tensor], network: Any, stimuli: Any, start: int, stop: int) -> None:
    for layer, values in parts.items():
        if len(values) != stop - start:
            raise UserError(f"layer '{layer}' of {network.model} gave {len(values)} rows for {stop - start} stimuli.")
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            row = int((~torch.isfinite(values.reshape(len(values), -1)).all(dim=1)).nonzero()[0])
            raise UserError(
                f"layer '{layer}' of {network.model} ({network.weights}) has a NaN or infinite response to stimulus "
                f"{stimuli.ids[start + row]}: check the weights and that image."
            )
