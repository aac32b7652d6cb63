"""A list of images with ids and labels, decoded or drawn when asked for."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor


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
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy(), "RGB")


def select(labels: Tensor, count: int | None, seed: int, name: str, split: str) -> Tensor:
    """Indices of ``count`` images (None: all), a seeded shuffle's first, so that a larger count keeps the smaller's.

    Raises
    ------
    UserError
        If there are fewer images than that.
    """
    from convergence.errors import UserError

    if count is not None and count > len(labels):
        what = "stimuli" if split == "test" else "train_images"
        raise UserError(
            f"dataset.{what}={count}, but the {split} split of {name} has {len(labels)} images: "
            f"ask for fewer, or for all with dataset.{what}=null."
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return order[:count]
