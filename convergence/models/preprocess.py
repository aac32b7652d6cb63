"""From images to a network's input: each network its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli


class Preprocess(Protocol):
    """Stimuli to float32 (n, 3, h, w)."""

    def __call__(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor: ...

    def describe(self) -> str:
        """Everything that the result depends on, in words: part of the cache key, and recorded in the manifest."""


@dataclass(frozen=True)
class PixelPreprocess:
    """Whole batches of pixels: the short side to ``size``, the centre cropped, channels normalised."""

    size: int | None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)

    def pixels(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        """uint8 (n, 3, size, size)."""
        pixels = stimuli.pixels(indices)
        if pixels is not None and self.size in (None, pixels.shape[-1]):
            return pixels
        assert self.size is not None
        return torch.stack([_fit(stimuli.image(int(i)), self.size) for i in indices])

    def normalise(self, pixels: Tensor) -> Tensor:
        """float32 of uint8 pixels."""
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.mean, device=pixels.device).reshape(shape)
        std = torch.tensor(self.std, device=pixels.device).reshape(shape)
        return (pixels.float() / 255 - mean) / std

    def __call__(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        return self.normalise(self.pixels(stimuli, indices))

    def describe(self) -> str:
        return f"short side {self.size or 'as it is'}, centre crop, mean {self.mean}, std {self.std}"


def _fit(image: Image.Image, size: int) -> Tensor:
    scale = size / min(image.size)
    resized = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    import numpy as np

    cropped = np.array(resized.crop((left, top, left + size, top + size)))
    return torch.from_numpy(cropped).permute(2, 0, 1)


@dataclass(frozen=True)
class ImagePreprocess:
    """A library's own transform, image by image."""

    transform: Callable[[Image.Image], Any]

    def __call__(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        return torch.stack([self.transform(stimuli.image(int(i))) for i in indices])

    def describe(self) -> str:
        return " ".join(str(self.transform).split())


def for_images(stimuli: Stimuli, image_size: int | None) -> PixelPreprocess:
    """A recipe's: the images' own size where they share one, 64 pixels for files of all sizes."""
    if image_size is None and stimuli.pixels([0]) is None:
        return PixelPreprocess(64)
    return PixelPreprocess(image_size)
