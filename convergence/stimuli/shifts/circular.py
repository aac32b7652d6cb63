"""Gaussian blurs on a circle of pixels, where only the middle is asked for: as few operations as that takes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = 5.5  # standard deviations, beyond which a blur sees nothing
_STEP = 1.8  # steps of the coarse grid in a standard deviation
_RING = 1053  # pixels, times (sigma^2 exp(-pi^2 sigma^2 / 2))^(2/3): how far a narrow blur rings, see _reach
_BLOCK = 32  # pixels along an axis that go into one product, besides those that a blur sees around
_SMALL = 128  # pixels along an axis up to which one product takes less time than several


def circular_blurs(planes: Tensor, sigmas: Sequence[float], start: int, stop: int) -> Tensor:
    """The pixels from ``start`` to ``stop`` on both axes, blurred each by its sigma; on the CPU, all float32.

    A wide Gaussian is one of two of half its variance: the first is asked for on a grid of at most 0.56 sigma, the
    second goes from there to each pixel. What the grid misses is exp(-pi^2 1.8^2 / 2), 1e-7 of the noise, or less.

    Parameters
    ----------
    planes : (K, c, P, P), one group for each sigma; or (1, c, P, P), one group for all.

    Returns
    -------
    (K, c, stop - start, stop - start).
    """
    padded = planes.shape[-1]
    if padded <= _SMALL:
        weights = _whole(padded, start, stop, tuple(sigmas))
        return weights @ (planes @ weights.mT)
    made = planes.new_empty(len(sigmas), planes.shape[1], stop - start, stop - start)
    for sigma, group, into in zip(sigmas, planes.expand(len(sigmas), -1, -1, -1), made, strict=True):
        near, bands = _bands(padded, start, stop, sigma)
        for i, plane in enumerate(group):
            blurred = plane[near, near]
            for band in bands:
                blurred = band(band(blurred))
            into[i] = blurred
    return made


@dataclass(frozen=True)
class _Band:
    """Weighted sums along an axis: the same weights for each block of outputs, some inputs further each time.

    Attributes
    ----------
    weights : (outputs of a block, inputs that it sees).
    advance : inputs from one block to the next.
    outputs : how many in all; the last block may make more than are asked for.
    """

    weights: Tensor
    advance: int
    outputs: int

    @property
    def blocks(self) -> int:
        return -(-self.outputs // len(self.weights))

    @property
    def inputs(self) -> int:
        return (self.blocks - 1) * self.advance + self.weights.shape[1]

    def __call__(self, rows: Tensor) -> Tensor:
        """(outputs, rows) of (rows, inputs)."""
        windows = rows.unfold(1, self.weights.shape[1], self.advance).permute(1, 2, 0)
        made = torch.bmm(self.weights.expand(self.blocks, -1, -1), windows)
        return made.flatten(0, 1)[: self.outputs]


@functools.lru_cache(256)
def _whole(padded: int, start: int, stop: int, sigmas: tuple[float, ...]) -> Tensor:
    """Weights of all pixels, (K, 1, stop - start, padded)."""
    distance = torch.arange(start, stop)[:, None] - torch.arange(padded)
    return torch.stack([_kernel(padded, sigma)[distance % padded][None] for sigma in sigmas])


@functools.lru_cache(1024)
def _bands(padded: int, start: int, stop: int, sigma: float) -> tuple[slice, list[_Band]]:
    """The pixels that matter on both axes, and what is done along each, one after the other."""
    step = int(sigma / _STEP)
    if step < 2:
        reach = _reach(sigma)
        distance = reach + torch.arange(_BLOCK)[:, None] - torch.arange(_BLOCK + 2 * reach)
        weights = _kernel(padded, sigma)[distance % padded] * (distance.abs() <= reach)
        band = _Band(weights, _BLOCK, stop - start)
        if 0 <= start - reach <= padded - band.inputs:
            return slice(start - reach, start - reach + band.inputs), [band]
        return slice(None), [_Band(_whole(padded, start, stop, (sigma,))[0, 0], padded, stop - start)]
    part = sigma / math.sqrt(2)
    reach = math.ceil(_FAR * part)
    points = max(_BLOCK // step, 1)  # of the grid, to a block of pixels
    place = step * torch.arange(-(-(2 * reach + points * step) // step)) - reach  # from the first pixel that is wanted
    spread = _Band(step * _gaussian(torch.arange(points * step)[:, None] - place, part), points, stop - start)
    place = torch.arange(2 * reach + (2 * points - 1) * step + 1) - reach  # from the first point of the grid
    weights = _gaussian(step * torch.arange(2 * points)[:, None] - place, part)
    band = _Band(weights, 2 * points * step, spread.inputs)
    if 0 <= start - 2 * reach <= padded - band.inputs:
        return slice(start - 2 * reach, start - 2 * reach + band.inputs), [band, spread]
    grid = start - reach + step * torch.arange(spread.inputs)
    around = grid[:, None, None] - torch.arange(padded)[:, None] + padded * torch.arange(-4, 5)
    return slice(None), [_Band(_gaussian(around, part).sum(-1), padded, spread.inputs), spread]


def _reach(sigma: float) -> int:
    """Pixels that a blur sees on either side, but for 2e-4 of the noise.

    The narrowest blurs end at the Nyquist frequency, with a kink of the gain there: n pixels away they still ring by
    sigma^2 exp(-pi^2 sigma^2 / 2) / n^2.
    """
    return math.ceil(max(_FAR * sigma, _RING * (sigma**2 * math.exp(-((math.pi * sigma) ** 2) / 2)) ** (2 / 3)))


def _kernel(padded: int, sigma: float) -> Tensor:
    """What a circular Gaussian blur makes of one pixel along an axis, (padded,)."""
    gain = torch.exp(-2 * (math.pi * sigma * torch.fft.fftfreq(padded, dtype=torch.float64)) ** 2)
    return torch.fft.ifft(gain).real.float()


def _gaussian(distance: Tensor, sigma: float) -> Tensor:
    return (torch.exp(-0.5 * (distance.double() / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))).float()
