"""``extract``: the layers of any module, for notebooks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from convergence.activations.forward import in_batches
from convergence.activations.loading import batch_for
from convergence.activations.taps import taps
from convergence.models.network import describe
from convergence.models.options import Units
from convergence.system import twice
from convergence.system.device import float32_products, resolve_device
from convergence.system.errors import UserError
from convergence.system.notes import say_once
from convergence.system.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHANNELS = (1, 3, 4)
_SHUFFLING = ("RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler")
_IMAGE_KEYS = ("pixel_values", "image", "images", "x", "input")


def extract(
    module: nn.Module,
    images: Iterable[Any],
    *,
    layers: str | Sequence[str] | None = None,
    units: str = "center",
    batch_size: int | Literal["auto"] = "auto",
    device: str = "auto",
) -> dict[str, NDArray[np.float32]]:
    """Responses of a module's layers to images, ready for :func:`convergence.align`.

    The module comes back as it was: on its device, each part in the mode (training or not) that it was in, no hooks.

    Parameters
    ----------
    module : takes a batch of images, (n, C, H, W).
    images : in order: a DataLoader, a data set, or any iterable of images or batches, alone or with labels; or one
        array of all. Tensors and arrays are (C, H, W) or (H, W, C), batches have one axis more. Floats enter the module
        as they are; bytes and PIL images as numbers from 0 to 1, but PIL images by the evaluation transform of a module
        of timm's.
    layers : names of modules, or shell patterns (``layer?.*``). None: all convolutions and linear layers, and of
        transformers the blocks.
    units : how maps become units: ``center``, ``mean``, ``samples`` or ``flatten``. Tokens become units by their class
        token or, without one, by their mean, unless ``mean``, ``samples`` or ``flatten`` is asked for.
    batch_size : images at a time; ``auto`` follows from their size and the device. A batch that does not fit is halved.
    device : ``auto`` takes a GPU where there is one.

    Returns
    -------
    By layer, in forward order, float32 (M, N): M images, N units; with ``samples`` (M, P, N), P positions.

    Raises
    ------
    ValueError
        In one sentence: no images, images of different sizes, a size that the module does not take, a layer that it
        does not have or never calls, a module or a data set that gives something else each time (a generator is not
        read twice), or an argument that is not one of those above.
    """
    if units not in {u.value for u in Units}:
        raise UserError(f"units={units!r} is not known: choose from {', '.join(u.value for u in Units)}.")
    if batch_size != "auto" and (not isinstance(batch_size, int) or batch_size < 1):
        raise UserError(f"batch_size={batch_size!r} is not known: give 'auto', or a whole number of at least 1.")
    where, name = resolve_device(device), type(module).__name__
    patterns = [layers] if isinstance(layers, str) else layers
    transform = _transform(module)
    _refuse_random(images, transform)
    found = _all(images, transform)
    first = next(found, None)
    if first is None:
        raise UserError("there are no images to extract responses to.")
    size = batch_for(batch_size, (first.shape[-2], first.shape[-1]), where)
    parts: list[dict[str, Tensor]] = []
    with _lent(module, where) as dtype, progress("Extracting", _count(images), "images") as advance:

        def entered(batch: Tensor) -> Tensor:
            return batch.to(where, dtype if batch.is_floating_point() else None)

        rule = None if units == Units.center.value else Units(units)
        with float32_products():
            chosen, _ = describe(module, entered(first[:1]), patterns, rule, name)
        rules, axes = ({n: getattr(layer, of) for n, layer in chosen.items()} for of in ("units", "image_axis"))
        with taps(module, list(chosen), rules, axes) as taken:

            def work(batch: Tensor) -> dict[str, Tensor]:
                with torch.inference_mode(), float32_products():
                    module(entered(batch))
                    return {n: taken[n].float() for n in chosen}

            for kept in in_batches(_batches(first, found, size), work, where, name):
                parts.append({n: values.cpu() for n, values in kept.items()})
                advance(len(next(iter(kept.values()))))
    return {n: torch.cat([part[n] for part in parts]).numpy() for n in chosen}


@contextmanager
def _lent(module: nn.Module, device: torch.device) -> Iterator[torch.dtype]:
    """The module on the device and in eval mode, and as it was afterwards; yields the type of its weights."""
    modes = {part: part.training for part in module.modules()}
    weights = [*module.parameters(), *module.buffers()]
    home = weights[0].device if weights else device
    dtype = next((w.dtype for w in weights if w.is_floating_point()), torch.float32)
    try:
        module.to(device).eval()
        yield dtype
    finally:
        for part, mode in modes.items():
            part.training = mode
        module.to(home)


def _batches(first: Tensor, rest: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Batches of ``size``, however the images came."""
    held, count, shape, seen = [first], len(first), first.shape[1:], len(first)
    for images in rest:
        if images.shape[1:] != shape:
            sizes = [" × ".join(map(str, s)) for s in (images.shape[1:], shape)]
            raise UserError(f"image {seen} is {sizes[0]} and those before it are {sizes[1]}: give all the same size.")
        seen += len(images)
        held.append(images)
        count += len(images)
        if count >= size:
            whole = torch.cat(held)
            full = count // size * size
            yield from whole[:full].split(size)
            held, count = [whole[full:]], count - full
    if count:
        yield from torch.cat(held).split(size)


def _all(images: Iterable[Any], transform: Any) -> Iterator[Tensor]:
    """(n, C, H, W) of everything that the iterable gives."""
    if isinstance(images, Tensor | np.ndarray | Image.Image):
        images = [images]
    elif not isinstance(images, Iterable) and hasattr(images, "__getitem__") and isinstance(images, Sized):
        images = map(images.__getitem__, range(len(images)))  # a data set of torch's
    elif not isinstance(images, Iterable):
        raise UserError(f"images is a {type(images).__name__}: give a DataLoader, a data set or a list of images.")
    for number, item in enumerate(images):
        batch = _tensor(item, transform, number)
        if len(batch):
            yield batch


def _refuse_random(images: Any, transform: Any) -> None:
    """Raise UserError if a data set's first images are others when they are read again.

    What can be read but once, such as a generator, is not asked; a loader that shuffles is warned of.
    """
    if type(getattr(images, "sampler", None)).__name__ in _SHUFFLING:
        say_once(
            "the DataLoader shuffles, so that rows of two networks belong to different images: give shuffle=False.",
            logging.WARNING,
        )
    source = getattr(images, "dataset", images)
    if isinstance(source, list | tuple | Mapping | Tensor | np.ndarray) or not hasattr(source, "__getitem__"):
        return
    for i in range(min(twice.TIMES, _count(source))):
        try:
            one, other = (_tensor(source[i], transform, i) for _ in range(2))
        except Exception:  # what a loader makes of such an item, or why it can't, is seen when it is read
            return
        sentence = (
            f"image {i} is another picture each time it is read: take out of the data set's transform what is "
            "random (crops, flips, colours)."
        )
        twice.refuse_another(one, other, sentence)


def _tensor(item: Any, transform: Any, number: int) -> Tensor:
    if isinstance(item, Mapping):
        item = next((item[key] for key in _IMAGE_KEYS if key in item), None)
    elif isinstance(item, tuple | list) and item:
        alike = all(isinstance(part, Image.Image) for part in item)
        if alike and len(item) > 1:
            return torch.cat([_tensor(part, transform, number) for part in item])
        item = item[0]  # the others are labels
    if isinstance(item, Image.Image):
        item = transform(item) if transform else np.array(item.convert("RGB"))
    if isinstance(item, np.ndarray):
        item = torch.from_numpy(np.ascontiguousarray(item))
    if not isinstance(item, Tensor) or item.ndim not in (2, 3, 4):
        what = f"of shape {tuple(item.shape)}" if isinstance(item, Tensor) else f"a {type(item).__name__}"
        raise UserError(
            f"image {number} is {what}: give PIL images, or arrays (C, H, W), (H, W, C) or batches of them."
        )
    if item.ndim == 2:
        item = item[None]
    if item.ndim == 3:
        item = item[None]
    if item.shape[1] not in _CHANNELS and item.shape[-1] in _CHANNELS:
        item = item.movedim(-1, 1)
    return item.float() if item.is_floating_point() else item.float() / 255


def _transform(module: nn.Module) -> Any:
    """Of PIL images, the evaluation transform of a module of timm's."""
    if not getattr(module, "pretrained_cfg", None):
        return None
    from timm.data import create_transform, resolve_model_data_config

    return create_transform(**resolve_model_data_config(module), is_training=False)


def _count(images: Any) -> int:
    """How many images there are, as far as they say."""
    counted = getattr(images, "dataset", images)
    return len(counted) if isinstance(counted, Sized) else 0
