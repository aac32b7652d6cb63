"""From images to a network's input: each network its own.

In two steps, so that decoded images can be kept, shared between networks, and sent to a device, as bytes: pixels of the
network's input size, then normalisation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli
from convergence.stimuli.files import FileStimuli
from convergence.stimuli.options import Transform


class Preprocess(ABC):
    """Stimuli to float32 (n, 3, h, w)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @abstractmethod
    def pixels(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        """uint8 (n, 3, h, w), resized and cropped."""

    @abstractmethod
    def geometry(self) -> str:
        """In words, what the pixels depend on beside the stimuli."""

    def normalise(self, pixels: Tensor) -> Tensor:
        """float32 of uint8 pixels, on their device and in their layout."""
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.mean, device=pixels.device).reshape(shape)
        std = torch.tensor(self.std, device=pixels.device).reshape(shape)
        return pixels.to(torch.float32, copy=True).div_(255).sub_(mean).div_(std)

    def __call__(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        return self.normalise(self.pixels(stimuli, indices))

    def describe(self) -> str:
        """Everything that the input depends on, in words: part of the cache key, and recorded in the manifest."""
        return f"{self.geometry()}, mean {self.mean}, std {self.std}"


@dataclass(frozen=True)
class PixelPreprocess(Preprocess):
    """The short side to ``size`` and the centre cropped, or (``stretch``) both sides; None: as they are, all of one."""

    size: int | None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    stretch: bool = False

    def pixels(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        size = self.size
        if size is None or stimuli.common_size == (size, size):
            pixels = stimuli.pixels(indices)
            assert pixels is not None
            return pixels
        return torch.stack(stimuli.each(indices, lambda image: _as_tensor(self._fit(image, size))))

    def _fit(self, image: Image.Image, size: int) -> Image.Image:
        if self.stretch:
            return image.resize((size, size), Image.Resampling.BICUBIC)
        scale = size / min(image.size)
        resized = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
        left, top = (resized.width - size) // 2, (resized.height - size) // 2
        return resized.crop((left, top, left + size, top + size))

    def geometry(self) -> str:
        if self.size is None:
            return "size as it is"
        return f"both sides {self.size}" if self.stretch else f"short side {self.size}, centre crop"


def _as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@dataclass(frozen=True)
class ImagePreprocess(Preprocess):
    """A library's own resizing and cropping, image by image; ``text`` says what it does.

    Images of the network's input size are taken as they are: those of the model-vs-human benchmark are meant to be, and
    resizing them would blur what the shifts are about.
    """

    resize: Callable[[Image.Image], Any]
    size: int
    text: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def pixels(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        return torch.stack(stimuli.each(indices, self._fit))

    def _fit(self, image: Image.Image) -> Tensor:
        return _as_tensor(image) if image.size == (self.size, self.size) else torch.as_tensor(self.resize(image))

    def geometry(self) -> str:
        return f"{self.text}; images of {self.size} × {self.size} as they are"


def for_images(stimuli: Stimuli, image_size: int | None, transform: Transform | None) -> PixelPreprocess:
    """A recipe's: the images' own size where they share one (the middle square of it), 64 pixels for all sizes.

    Of files the size is told: the recipe then takes other files too.
    """
    if image_size is None and (stimuli.common_size is None or isinstance(stimuli, FileStimuli)):
        image_size = min(stimuli.common_size or (64, 64))
    return PixelPreprocess(image_size, stretch=transform is Transform.stretch)


def of_torchvision(transforms: Any) -> ImagePreprocess:
    """The evaluation transform of torchvision's weights."""
    kept = (transforms.resize_size, transforms.crop_size, transforms.interpolation, transforms.antialias)
    text = f"torchvision: resize {kept[0]} ({kept[2].value}), centre crop {kept[1]}"
    return ImagePreprocess(_Torchvision(*kept), kept[1][0], text, tuple(transforms.mean), tuple(transforms.std))


@dataclass(frozen=True)
class _Torchvision:
    resize_size: list[int]
    crop_size: list[int]
    interpolation: Any
    antialias: bool

    def __call__(self, image: Image.Image) -> Tensor:
        from torchvision.transforms import functional

        image = functional.resize(image, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)  # type: ignore[assignment, arg-type]
        return functional.pil_to_tensor(functional.center_crop(image, self.crop_size))  # type: ignore[arg-type]


def of_timm(data: dict[str, Any]) -> ImagePreprocess:
    """The evaluation transform of timm's data config."""
    from timm.data import create_transform

    resize = create_transform(**data, is_training=False, use_prefetcher=True)  # ends with uint8 (3, h, w)
    return ImagePreprocess(
        resize, data["input_size"][-1], f"timm: {' '.join(str(resize).split())}", data["mean"], data["std"]
    )
