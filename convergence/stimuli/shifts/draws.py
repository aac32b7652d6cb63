"""Random numbers that belong to an image, whatever batch it comes in and whatever device works on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def image_seed(seed: int, image_id: str, shift: str, level: str) -> int:
    """63 bits from the run's seed, the image's id, the shift and the level."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{image_id}/{shift}/{level}".encode()).digest()[:8], "big") >> 1


class Streams:
    """One stream of random numbers per image.

    Raw bits of Philox, because NumPy promises those, and not its distributions, across versions; drawn on the CPU,
    because generators of other devices differ.

    Parameters
    ----------
    seeds : n integers from 0 to 2^63 - 1, one per image.
    device : where the drawn numbers go.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [np.random.Philox(key=seed) for seed in seeds]
        self._device = device

    def uniform(self, *shape: int) -> Tensor:
        """The next numbers in [0, 1), float64 (n, \\*shape)."""
        return (self._bits(shape) >> 10).double() * 2.0**-53

    def normal_pairs(self, *shape: int) -> Tensor:
        """The next independent standard normals, in pairs, float64 (n, 2, \\*shape) (Box and Muller 1958)."""
        bits = self._bits(shape)
        angle = (bits & 0xFFFFFFFF).double().mul_(2 * torch.pi * 2.0**-32)
        radius = bits.bitwise_right_shift_(32).double().add_(0.5).mul_(2.0**-31).log_().mul_(-2).sqrt_()
        pairs = angle.new_empty(len(bits), 2, *shape)
        torch.mul(radius, torch.cos(angle), out=pairs[:, 0])
        torch.mul(radius, angle.sin_(), out=pairs[:, 1])
        return pairs

    def _bits(self, shape: Sequence[int]) -> Tensor:
        """63 random bits each, int64 (n, \\*shape)."""
        count = int(np.prod(shape))
        # One bit is let go: torch shifts int64 with its sign.
        raw = np.empty((len(self._generators), count), dtype=np.uint64)
        for row, generator in zip(raw, self._generators, strict=True):
            np.right_shift(generator.random_raw(count), np.uint64(1), out=row)
        return torch.from_numpy(raw.view(np.int64)).reshape(-1, *shape).to(self._device)
