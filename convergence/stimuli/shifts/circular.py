"""Gaussian blurs on a circle of pixels, where only the middle is asked for: as few operations as that takes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = 5.5  # standard deviations, beyond which a blur sees nothing
_STEP = 1.8  # steps of the coarse grid in a standard deviation
_RINGS, _RING = 1.3, 128  # up to this sigma a blur on pixels rings, as far as so many of them
_BLOCK = 32  # pixels along an axis that are made in one product


def circular_gain(size: int, sigma: float, like: Tensor) -> Tensor:
    """What a circular Gaussian blur leaves of each frequency along an axis of ``size`` pixels, (size,)."""
    frequencies = torch.fft.fftfreq(size, dtype=like.dtype, device=like.device)
    return torch.exp(-2 * (math.pi * sigma * frequencies) ** 2)


def circular_blur(planes: Tensor, sigma: float, start: int, stop: int) -> Tensor:
    """The pixels from ``start`` to ``stop`` on both axes of planes (..., P, P), blurred; on the CPU, all float32.

    A wide Gaussian is one of two of half its variance: the first is asked for on a grid of at most 0.56 sigma, the
    second goes from there to each pixel. What the grid misses is exp(-pi^2 1.8^2 / 2), 1e-7 of the noise, or less.
    """
    plan = _plan(planes.shape[-1], start, stop, sigma)
    first, spread = plan.first, plan.spread
    if plan.near is None:
        made = first @ (planes @ first.mT)
    else:
        near = planes[..., plan.near, plan.near]
        made = _banded(_banded(near, first, plan).mT, first, plan).mT
    return made if spread is None else spread @ (made @ spread.mT)


@dataclass(frozen=True)
class _Plan:
    """A blur along one axis.

    Attributes
    ----------
    near : the pixels that matter; None: all, which lie on the circle.
    first : (wanted, pixels) weights of all pixels; or those of one block of outputs, the same for every block.
    outputs, step : where ``near`` is told: how many are made, and pixels between them.
    spread : from the grid to the pixels; None: there is no grid.
    """

    near: slice | None
    first: Tensor
    outputs: int
    step: int
    spread: Tensor | None


def _banded(rows: Tensor, block: Tensor, plan: _Plan) -> Tensor:
    """Products along the next to last axis, block by block of the outputs, each with the rows that it sees."""
    made = []
    for at in range(0, plan.outputs, len(block)):
        count = min(len(block), plan.outputs - at)
        seen = block.shape[1] - (len(block) - count) * plan.step
        begin = at * plan.step
        made.append(block[:count, :seen] @ rows[..., begin : begin + seen, :])
    return torch.cat(made, -2)


@functools.lru_cache(64)
def _plan(padded: int, start: int, stop: int, sigma: float) -> _Plan:
    step = int(sigma / _STEP)
    if step < 2:  # the narrowest are cut off by the Nyquist frequency, and ring
        reach = _RING if sigma < _RINGS else math.ceil(_FAR * sigma)
        kernel = torch.fft.ifft(circular_gain(padded, sigma, torch.zeros((), dtype=torch.float64))).real
        if start - reach < 0 or stop + reach > padded:
            distance = torch.arange(start, stop)[:, None] - torch.arange(padded)
            return _Plan(None, kernel[distance % padded].float(), stop - start, 1, None)
        distance = reach + torch.arange(_BLOCK)[:, None] - torch.arange(_BLOCK + 2 * reach)
        block = (kernel[distance % padded] * (distance.abs() <= reach)).float()
        return _Plan(slice(start - reach, stop + reach), block, stop - start, 1, None)
    part = sigma / math.sqrt(2)
    reach = math.ceil(_FAR * part)
    grid = torch.arange(start - reach, stop + reach + step, step)
    first, last = int(grid[0]) - reach, int(grid[-1]) + reach
    inside = torch.arange(start, stop)
    if first < 0 or last >= padded:
        grid = torch.arange(0, padded, 2 ** int(math.log2(step)))
        step = int(grid[1])
        weights = _gaussian(grid[:, None] - torch.arange(padded), padded, part)
        return _Plan(None, weights, len(grid), step, _gaussian(inside[:, None] - grid, padded, part) * step)
    rows = torch.arange(max(_BLOCK // step, 1) * 2)
    block = _gaussian(reach + step * rows[:, None] - torch.arange(int(rows[-1]) * step + 2 * reach + 1), padded, part)
    spread = _gaussian(inside[:, None] - grid, padded, part) * step
    return _Plan(slice(first, last + 1), block, len(grid), step, spread)


def _gaussian(distance: Tensor, padded: int, sigma: float) -> Tensor:
    """Weights at distances on a circle of so many pixels, as often round it as counts."""
    around = distance.double()[..., None] + padded * torch.arange(-3, 4)
    return (torch.exp(-0.5 * (around / sigma) ** 2).sum(-1) / (sigma * math.sqrt(2 * math.pi))).float()
