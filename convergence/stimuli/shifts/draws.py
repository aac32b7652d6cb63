"""Random numbers that belong to an image, whatever batch it comes in and whatever device works on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PART = 2**15  # numbers that are made normal at once
# sqrt(2) sin(pi x / 2) = x (a + b x^2 + c x^4 + d x^6) to 1e-8 for |x| <= 1/2: d, c, b, a
_SINE = tuple(np.float32(c) for c in (-0.00649447745, 0.112678743, -0.913529548, 2.22144144))


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
        """The next independent standard normals, in pairs, float32 (n, 2, \\*shape) (Box and Muller 1958)."""
        count = int(np.prod(shape))
        pairs = np.empty((len(self._generators), 2, count), dtype=np.float32)
        for planes, generator in zip(pairs, self._generators, strict=True):
            # In parts that a processor's cache holds: whole planes would be carried to memory and back at each step.
            for start in range(0, count, _PART):
                _box_muller(generator.random_raw(min(_PART, count - start)), planes[:, start : start + _PART])
        return torch.from_numpy(pairs).reshape(-1, 2, *shape).to(self._device)

    def _bits(self, shape: Sequence[int]) -> Tensor:
        """63 random bits each, int64 (n, \\*shape)."""
        count = int(np.prod(shape))
        # One bit is let go: torch shifts int64 with its sign.
        raw = np.empty((len(self._generators), count), dtype=np.uint64)
        for row, generator in zip(raw, self._generators, strict=True):
            np.right_shift(generator.random_raw(count), np.uint64(1), out=row)
        return torch.from_numpy(raw.view(np.int64)).reshape(-1, *shape).to(self._device)


def _box_muller(raw: NDArray[np.uint64], into: NDArray[np.float32]) -> None:
    """Normals (2, k), in place, of k raw numbers, which are used up."""
    # NumPy's functions of single precision are vectorised: a tenth of the time of double precision.
    # Signed words convert faster; a negative angle is the same one, a turn before.
    np.right_shift(raw, np.uint64(1), out=raw)
    low, high = raw.astype("<u8", copy=False).view("<i4").reshape(-1, 2).T
    diameter = high.astype(np.float32)
    diameter += np.float32(0.5)
    diameter *= np.float32(2.0**-31)
    np.log(diameter, out=diameter)
    diameter *= np.float32(-8)
    np.sqrt(diameter, out=diameter)
    turns = low.astype(np.float32)
    turns *= np.float32(2.0**-32)
    _around(turns, diameter, into)


def _around(turns: NDArray[np.float32], diameter: NDArray[np.float32], into: NDArray[np.float32]) -> None:
    """Half the diameter times the cosine and the sine (2, k) of up to half a turn; uses up what it is given."""
    # The sine of a quarter of the angle by a short series, the rest by doubling it twice: less than a call of each.
    square = turns * turns
    sine = square * _SINE[0]
    for coefficient, factor in zip(_SINE[1:], (square, square, turns), strict=True):
        sine += coefficient
        sine *= factor
    np.multiply(sine, sine, out=square)
    np.subtract(np.float32(2), square, out=square)
    np.sqrt(square, out=turns)
    sine *= turns  # of half the angle
    square -= np.float32(1)  # and its cosine
    diameter_sine = np.multiply(diameter, sine, out=turns)
    np.multiply(diameter_sine, square, out=into[1])
    sine *= diameter_sine
    diameter *= np.float32(0.5)
    np.subtract(diameter, sine, out=into[0])
