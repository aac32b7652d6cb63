"""A list of images with ids and labels, decoded or drawn when asked for."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.errors import UserError


def digest(*parts: Any) -> str:
    """SHA-256 of the parts as JSON: equal for equal parts on every machine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class Stimuli(ABC):
    """M images in a fixed order.

    Attributes
    ----------
    name : the data set's.
    classes : names of the labels.
    ids : one per image, unique, the same on every machine.
    labels : (M,) int64.
    fingerprint : SHA-256 of everything that the pixels and their order depend on.
    skipped : broken images that were left out.
    """

    name: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Tensor
    fingerprint: str
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def image(self, i: int) -> Image.Image:
        """The i-th image, RGB."""

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        """uint8 (n, 3, H, W) where all images have one size, else None."""
        return None


@dataclass
class ArrayStimuli(Stimuli):
    """Images that lie in memory as uint8 (M, 3, H, W)."""

    array: Tensor | None = None

    def pixels(self, indices: Sequence[int]) -> Tensor:
        assert self.array is not None
        return self.array[torch.as_tensor(indices)]

    def image(self, i: int) -> Image.Image:
        return as_image(self.pixels([i])[0])


def as_image(pixels: Tensor) -> Image.Image:
    """PIL image of uint8 (3, H, W)."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def select(labels: Tensor, count: int | None, seed: int, name: str, split: str) -> Tensor:
    """Indices of ``count`` images (None: all), a seeded shuffle's first, so that a larger count keeps the smaller's.

    Raises
    ------
    UserError
        If there are fewer images than that, or none is asked for.
    """
    what = "stimuli" if split == "test" else "train_images"
    if count is not None and count < 1:
        raise UserError(f"dataset.{what}={count} leaves no images: ask for one or more, or for all with null.")
    if count is not None and count > len(labels):
        raise UserError(
            f"dataset.{what}={count}, but the {split} split of {name} has {len(labels)} images: "
            f"ask for fewer, or for all with dataset.{what}=null."
        )
    # Sorting raw bits of Philox: unlike a library's shuffle, these are promised to stay the same across versions.
    order = np.argsort(np.random.Philox(key=seed % 2**64).random_raw(len(labels)), kind="stable")
    return torch.from_numpy(order[:count])
