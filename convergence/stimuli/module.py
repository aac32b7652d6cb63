"""Images that the user's own code gives: ``dataset=module dataset.factory=FILE.py:NAME``."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli, select
from convergence.stimuli.decoding import PLAIN, Look, as_meant, look_of
from convergence.stimuli.layouts import canonical, in_order, share_of
from convergence.stimuli.options import ModuleConfig
from convergence.system import twice, user_code
from convergence.system.errors import UserError
from convergence.system.hashing import digest
from convergence.system.notes import say_once
from convergence.system.progress import progress

_KEPT_BYTES = 2**29  # decoded images of one size are kept up to this
_VERSION = 1
_reading = Lock()  # nobody knows whether two threads may be in the user's code at once
_IMAGES = ("image", "img")  # how a mapping may call it
_EXPECTED = "a PIL image, or a tensor (C, H, W) of uint8 or of floats from 0 to 1"


@dataclass
class OwnStimuli(Stimuli):
    """Images of a sequence of the user's; ``chosen`` are their places in it, ``size`` their common one, if any."""

    images: Any = None  # the sequence
    chosen: tuple[int, ...] = ()
    look: Look = PLAIN
    size: tuple[int, int] | None = None
    kept: Tensor | None = None  # uint8 (M, 3, S, S)

    @property
    def at_hand(self) -> bool:
        return self.kept is not None

    @property
    def common_size(self) -> tuple[int, int] | None:
        return self.size

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        if self.kept is not None:
            return self.kept[torch.as_tensor(indices, dtype=torch.int64)]
        if self.size is None or self.size[0] != self.size[1]:
            return None
        return torch.stack([_pixels(self.image(int(i))) for i in indices])

    def image(self, i: int) -> Image.Image:
        if self.kept is not None:
            return Image.fromarray(self.kept[i].permute(1, 2, 0).contiguous().numpy())
        with _reading:
            item, _, _ = _parts(self.images[self.chosen[i]])
        return _rgb(item, self.look)

    def take(self, indices: Sequence[int]) -> OwnStimuli:
        return replace(
            self,
            ids=tuple(self.ids[i] for i in indices),
            labels=self.labels[list(indices)],
            fingerprint=digest(self.fingerprint, list(indices)),
            chosen=tuple(self.chosen[i] for i in indices),
            kept=None if self.kept is None else self.kept[list(indices)],
        )


def from_module(config: ModuleConfig, split: str) -> OwnStimuli:
    """The images of a split ("train", "test", "all") that ``config.factory`` returns, all looked at once.

    Where the callable takes ``split``, it is asked for "train" or "test"; else a fifth of each class is held out from
    training. Class names are those of the sequence's ``classes`` if it has any (torchvision's do), else the labels.

    Raises
    ------
    UserError
        If the callable is missing or fails, or gives something else than images, or too few of them.
    """
    spec = config.factory
    if not spec:
        raise UserError("dataset=module needs code that gives the images: name it with dataset.factory=FILE.py:NAME.")
    what = f"dataset.factory={spec}"
    factory = user_code.load(spec, "dataset.factory")
    if not callable(factory):
        raise UserError(f"{what} is no callable: name a function or a class that returns the images.")
    divided = _takes_split(factory)
    arguments = {**config.arguments, **({"split": "train" if split == "train" else "test"} if divided else {})}
    images = _called(lambda: factory(**arguments), what)
    if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise UserError(f"{what} returns {type(images).__name__}: return a sequence of (image, label or None).")
    look = look_of(config.background, config.exif)
    every = _looked_at(images, look, what)
    prefix = f"{config.name}-{arguments['split']}" if divided else config.name
    found = _labelled(config, images, every, what, prefix)
    files: dict[int, list[str]] = {}
    for label, image_id in zip(found.labels.tolist(), found.ids, strict=True):
        files.setdefault(label, []).append(image_id)
    place = {image_id: i for i, image_id in enumerate(found.ids)}
    mine = sorted(place[i] for ids in files.values() for i in (ids if divided else share_of(ids, split, config.seed)))
    if not mine:
        raise UserError(f"{what} gives no images of the split {split}: give two or more of each class.")
    pool = found.take(mine)
    wanted = config.train_images if split == "train" else config.stimuli
    chosen = pool.take(select(pool.labels, wanted, config.seed, what, split).tolist())
    if split != "train":
        say_once(f"{len(chosen):,} of {len(found):,} images of {what} are stimuli.")
    # By content, not by code: what gives the same images and labels is the same data set.
    hashes = [every.hashes[i] for i in chosen.chosen]
    content = digest("module", _VERSION, chosen.ids, chosen.classes, chosen.labels.tolist(), hashes)
    return replace(chosen, fingerprint=content)


@dataclass
class _Looked:
    """What was seen of all images: hashes of their pixels, labels, ids, and the pixels if they are few."""

    hashes: list[str]
    labels: list[Any]
    ids: list[Any]
    size: tuple[int, int] | None
    kept: Tensor | None


def _looked_at(images: Any, look: Look, what: str) -> _Looked:
    count = len(images)
    hashes, labels, ids, sizes = [], [], [], set()
    kept: list[Tensor] = []
    keep = True
    with progress("Looking at images", count, "images") as advance:
        for i in range(count):
            item, label, image_id = _called(lambda i=i: _parts(images[i]), f"{what}: image {i}")  # type: ignore[misc]
            try:
                image = _rgb(item, look)
            except (ValueError, OSError, SyntaxError) as error:
                raise UserError(f"{what}: image {i} cannot be used ({error}): give {_EXPECTED}.") from None
            pixels = _pixels(image)
            hashes.append(_hash(image))
            if i < twice.TIMES:
                again = _pixels(_rgb(_called(lambda i=i: _parts(images[i]), what)[0], look))  # type: ignore[misc]
                sentence = (
                    f"{what}: image {i} is another picture each time it is read: take out of its transform what is "
                    "random (crops, flips, colours), or draw it from the image's number."
                )
                twice.refuse_another(pixels, again, sentence)
            labels.append(label)
            ids.append(image_id)
            sizes.add(image.size)
            keep = keep and len(sizes) == 1 and image.width == image.height and count * pixels.numel() <= _KEPT_BYTES
            if keep:
                kept.append(pixels)
            advance(1)
    if not count:
        raise UserError(f"{what} gives no images.")
    return _Looked(hashes, labels, ids, sizes.pop() if len(sizes) == 1 else None, torch.stack(kept) if keep else None)


def _labelled(config: ModuleConfig, images: Any, every: _Looked, what: str, prefix: str) -> OwnStimuli:
    labels = [_plain(label) for label in every.labels]
    odd = next((label for label in labels if not isinstance(label, int | float | str | None)), None)
    if odd is not None:
        raise UserError(f"{what} gives a label of type {type(odd).__name__}: a label is a number, a text or None.")
    known = None not in labels
    names = [str(name) for name in getattr(images, "classes", None) or ()]
    numbers = known and all(isinstance(label, int) and not isinstance(label, bool) for label in labels)
    if not known:
        classes: tuple[str, ...] = ()
        places = [-1] * len(labels)
    elif numbers:
        least, most = min(labels), max(labels)
        if least < 0 or (names and most >= len(names)):
            raise UserError(f"{what} gives labels from {least} to {most}: number the classes from 0 on.")
        classes = tuple(names) or tuple(str(number) for number in range(most + 1))
        places = labels
    else:
        texts = [str(label) for label in labels]
        classes = tuple(names) if set(texts) <= set(names) else in_order(list(set(texts)))
        number = {name: i for i, name in enumerate(classes)}
        places = [number[text] for text in texts]
    ids = [str(image_id) if image_id is not None else f"{prefix}-{n}" for n, image_id in enumerate(every.ids)]
    twice = [image_id for image_id, times in Counter(ids).items() if times > 1]
    if twice:
        raise UserError(f"{what} gives two images the id {twice[0]}: give each one of its own.")
    return OwnStimuli(
        name=config.name,
        classes=canonical(classes),
        ids=tuple(ids),
        labels=torch.tensor(places, dtype=torch.int64),
        fingerprint="",
        images=images,
        chosen=tuple(range(len(ids))),
        look=look_of(config.background, config.exif),
        size=every.size,
        kept=every.kept,
    )


def _takes_split(factory: Callable[..., Any]) -> bool:
    try:
        return "split" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # written in C
        return False


def _called(call: Callable[[], Any], what: str) -> Any:
    with user_code.telling(lambda why: f"{what} fails ({why}).", (UserError,)):
        return call()


def _parts(item: Any) -> tuple[Any, Any, Any]:
    """Image, label and id, the last two None where they are not given; of a tuple, or a row of Hugging Face's."""
    if isinstance(item, Mapping):
        image = next((item[name] for name in _IMAGES if name in item), None)
        if image is None:
            raise UserError(f"an item of {', '.join(map(str, item))} has no image: give one under the name image.")
        return image, item.get("label"), item.get("id")
    if isinstance(item, tuple | list):
        if not 1 <= len(item) <= 3:
            raise UserError(f"an item of {len(item)} parts is not understood: give (image, label or None).")
        return (*item, None, None)[:3]
    return item, None, None


def _plain(label: Any) -> Any:
    """A label as a Python number or text."""
    if isinstance(label, Tensor | np.generic | np.ndarray) and np.asarray(label).size == 1:
        label = label.item()
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _rgb(item: Any, look: Look) -> Image.Image:
    """The image that was given, as RGB.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(item, Image.Image):
        return as_meant(item, look)
    if isinstance(item, np.ndarray):
        channels_last = item.ndim == 3 and item.shape[-1] in (1, 3, 4) and item.shape[0] not in (1, 3, 4)
        item = torch.from_numpy(np.ascontiguousarray(item.transpose(2, 0, 1) if channels_last else item))
    if not isinstance(item, Tensor):
        raise ValueError(f"it is a {type(item).__name__}")
    planes = item.detach().cpu()
    planes = planes[None] if planes.ndim == 2 else planes
    if planes.ndim != 3 or planes.shape[0] not in (1, 3, 4) or not planes.numel():
        raise ValueError(f"its shape is {tuple(item.shape)}")
    if planes.is_floating_point():
        low, high = float(planes.min()), float(planes.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"its floats go from {low:.4g} to {high:.4g}")
        planes = (planes.double() * 255).round().to(torch.uint8)
    elif planes.dtype is not torch.uint8:
        raise ValueError(f"its numbers are {str(planes.dtype).removeprefix('torch.')}")
    array = planes.permute(1, 2, 0).contiguous().numpy()
    return as_meant(Image.fromarray(array[:, :, 0] if array.shape[-1] == 1 else array), look)


def _hash(image: Image.Image) -> str:
    return hashlib.sha256(repr(image.size).encode() + _pixels(image).numpy().tobytes()).hexdigest()


def _pixels(image: Image.Image) -> Tensor:
    """uint8 (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
