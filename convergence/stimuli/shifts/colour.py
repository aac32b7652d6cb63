"""Shifts of single pixels: colour, contrast, false colour, uniform noise; and rotation.

Images are float (n, 3, H, W) in [0, 1], gamma-encoded; results may leave [0, 1] and are clipped by ``apply``.
The formulas are those of Geirhos et al. 2018 (arXiv 1808.08750) and Wichmann et al. 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GREY = (0.2125, 0.7154, 0.0721)
_LUMINANCE = (0.258828, 0.607436, 0.133736)  # of linear light
_NOISE_CONTRAST, _NOISE_GROUND = 0.3, 0.35


def grey(images: Tensor) -> Tensor:
    """(n, H, W) from (n, 3, H, W): g = 0.2125 R + 0.7154 G + 0.0721 B."""
    return _weighted(images, _GREY)


def as_rgb(planes: Tensor) -> Tensor:
    """(n, 3, H, W), three times the same plane, from (n, H, W)."""
    return planes[:, None].expand(-1, 3, -1, -1)


def contrast(images: Tensor, c: float) -> Tensor:
    """Grey at the contrast c in (0, 1]: (1 - c) / 2 + c g."""
    return as_rgb((1 - c) / 2 + c * grey(images))


def false_colour(images: Tensor) -> Tensor:
    """The opponent colour at the same luminance Y, in linear light: 2 Y - RGB, clipped to [0, 1]."""
    linear = torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)
    opponent = (2 * _weighted(linear, _LUMINANCE)[:, None] - linear).clamp(0, 1)
    return torch.where(opponent <= 0.0031308, 12.92 * opponent, 1.055 * opponent ** (1 / 2.4) - 0.055)


def uniform_noise(images: Tensor, width: float, uniform: Tensor) -> Tensor:
    """Grey at 30 % contrast plus U[-width, width), one plane for the three channels.

    ``uniform`` (n, H, W) in [0, 1). The contrast is lowered at width 0 too.
    """
    return as_rgb(_NOISE_GROUND + _NOISE_CONTRAST * grey(images) + width * (2 * uniform - 1))


def rotation(images: Tensor, degrees: int) -> Tensor:
    """Grey, turned counter-clockwise by a multiple of 90 degrees."""
    return as_rgb(grey(images).rot90(degrees // 90, (1, 2)))


def _weighted(images: Tensor, weights: tuple[float, float, float]) -> Tensor:
    # Written out: a matrix product may sum in another order on another device or batch.
    red, green, blue = images.unbind(1)
    return weights[0] * red + weights[1] * green + weights[2] * blue
