"""A network's answers to batches of images: the units of its layers, and its classes where they are understood."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convergence.activations.cache import ANSWER
from convergence.activations.loading import Loader
from convergence.activations.readout import AnswerReader
from convergence.activations.taps import taps
from convergence.models.memory_layout import layout
from convergence.models.options import Precision
from convergence.models.outputs import refuse_compiled, tensor_of
from convergence.system.device import float32_products, is_out_of_memory
from convergence.system.errors import UserError

_log = logging.getLogger("convergence")


def on_device(network: Any, device: torch.device) -> nn.Module:
    """The network, ready for :func:`forward`."""
    model = network.build().to(device)
    refuse_compiled(model, network.model)
    return model.to(memory_format=layout(model))


def forward(
    network: Any, model: nn.Module, loader: Loader, parts: Sequence[range], layers: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """Units of the layers, (n, N) or (n, P, N) float32 on the device, and answers, batch by batch of the parts.

    A batch that does not fit on the device is halved, and so are those that come after it.

    Raises
    ------
    UserError
        If a response to the first batch is not finite, a layer cannot be tapped, or one image does not fit.
    """
    reader = AnswerReader(loader.stimuli, network.classes)
    rules = {layer: network.layers[layer].units for layer in layers}
    axes = {layer: network.layers[layer].image_axis for layer in layers}
    with taps(model, layers, rules, axes) as taken:
        where = layout(model)

        def work(pixels: Tensor) -> dict[str, Tensor]:
            # Bytes take their layout faster than the floats that are made of them.
            images = pixels.to(loader.device, non_blocking=True).contiguous(memory_format=where)
            return _units(network, model, images, taken, reader)

        for number, kept in enumerate(in_batches(loader.batches(parts), work, loader.device, network.model)):
            if number == 0:
                check_finite(kept, network, loader.stimuli, parts[0][: len(next(iter(kept.values())))])
            yield kept


def in_batches(
    batches: Iterable[Tensor], work: Callable[[Tensor], dict[str, Tensor]], device: torch.device, name: str
) -> Iterator[dict[str, Tensor]]:
    """What ``work`` makes of each batch; one that does not fit on the device is halved, and so are those after it.

    Raises
    ------
    UserError
        If a single image does not fit.
    """
    most: int | None = None
    for batch in batches:
        waiting = list(batch.split(most or len(batch)))
        while waiting:
            made = _tried(work, waiting[0])
            if made is None:  # tried again out here: inside the handler, the error still holds the memory
                most = _halved(len(waiting[0]), name, device)
                waiting = [piece for rest in waiting for piece in rest.split(most)]
                continue
            yield made
            del waiting[0]


def _tried(work: Callable[[Tensor], dict[str, Tensor]], batch: Tensor) -> dict[str, Tensor] | None:
    try:
        return work(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None


def _units(
    network: Any, model: nn.Module, images: Tensor, taken: dict[str, Tensor], reader: AnswerReader
) -> dict[str, Tensor]:
    """Units of one batch of bytes, and its answers where its outputs are understood."""
    narrow = network.precision not in (Precision.float32, Precision.tf32)
    dtype = getattr(torch, network.precision.value) if narrow else torch.float32
    with (
        torch.inference_mode(),
        float32_products(tf32=network.precision is Precision.tf32),
        torch.autocast(images.device.type, dtype, enabled=narrow),
    ):
        logits = tensor_of(model(network.preprocess.normalise(images)))
        kept = {layer: units.float() for layer, units in taken.items()}
        answers = reader.read(logits) if logits is not None and logits.ndim == 2 else None
        if answers is not None:
            kept[ANSWER] = answers[:, None]
        return kept


def _halved(size: int, name: str, device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if size == 1:
        raise UserError(
            f"a single image does not fit through {name} on {device}: free its memory, or use another device "
            "(device=cpu) or smaller images."
        )
    _log.warning("a batch of %d images did not fit on %s and was halved.", size, device)
    return size // 2


def check_finite(responses: dict[str, Tensor], network: Any, stimuli: Any, rows: range) -> None:
    """Refuse a NaN or infinite response, with its layer and stimulus.

    Raises
    ------
    UserError
        Saying what may be done about it.
    """
    for layer, values in responses.items():
        if len(values) != len(rows):
            raise UserError(f"layer '{layer}' of {network.model} gave {len(values)} rows for {len(rows)} stimuli.")
        if not values.is_floating_point() or bool(torch.isfinite(values).all()):
            continue
        row = int((~torch.isfinite(values.reshape(len(values), -1)).all(dim=1)).nonzero()[0])
        advice = "check the weights and that image"
        if network.precision is Precision.float16:
            advice = "float16 ends at 65,504; use model.precision=bfloat16 or float32"
        raise UserError(
            f"layer '{layer}' of {network.model} ({network.weights}) has a NaN or infinite response to stimulus "
            f"{stimuli.ids[rows[row]]}: {advice}."
        )
