"""Photographs and digits to shift, and what a shifted image is held against."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor

from convergence.stimuli.shifts import SHIFTS, apply, image_seed, measure

EVERY = [(shift.name, level) for shift in SHIFTS.values() for level in shift.levels]
EIDOLONS = ("eidolonI", "eidolonII", "eidolonIII")
ANALOGUES = ("sketch", "stylized", "edge", "silhouette", "cue-conflict")
# Turning has no order of severity; what has one level has none either.
ORDERED = [
    shift.name for shift in SHIFTS.values() if len(shift.levels) > 1 and shift.name not in ("rotation", "contrast")
]


def resized(size: int) -> Tensor:
    """Two photographs, uint8 (2, 3, size, size)."""
    photographs = [Image.fromarray(image[:400, 120:520]).resize((size, size)) for image in load_sample_images().images]
    return torch.from_numpy(np.stack([np.array(p) for p in photographs])).permute(0, 3, 1, 2).contiguous()


def digits(count: int) -> Tensor:
    planes = torch.from_numpy(load_digits().images[:count] * (255 / 16)).round().to(torch.uint8)
    return planes[:, None].expand(-1, 3, -1, -1).contiguous()


PHOTOGRAPHS = resized(64)


def reference_grey(images: Tensor) -> NDArray[np.float64]:
    return np.einsum("nchw,c->nhw", images.numpy() / 255, (0.2125, 0.7154, 0.0721))


def distort(images: Tensor, shift: str, level: str, seed: int = 0) -> Tensor:
    seeds = [image_seed(seed, str(i), shift, level) for i in range(len(images))]
    return apply(images, shift, level, seeds=seeds, statistics=measure([images]), partners=images.roll(1, 0))


def assert_shows(pixels: Tensor, expected: NDArray[np.float64], slack: float = 1e-6) -> None:
    """Pixels are the expected floats, clipped and rounded; half-way between two levels both are right."""
    values = np.clip(expected, 0, 1) * 255
    if values.ndim == 3:
        values = np.repeat(values[:, None], 3, axis=1)
    assert np.abs(pixels.numpy() - values).max() <= 0.5 + slack


def difference(first: Tensor, second: Tensor) -> float:
    return float((first.double() - second.double()).square().mean().sqrt())


MANY = torch.cat([resized(16), digits(10).repeat_interleave(2, 2).repeat_interleave(2, 3)])
IDS = tuple(f"image-{i}" for i in range(len(MANY)))
