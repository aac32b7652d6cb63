"""From the numbers that describe an image to its pixels: the rasteriser of ``dataset=shapes``."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from convergence.stimuli import outlines
from convergence.stimuli.outlines import BINS, Array
from convergence.stimuli.textures import FAMILIES, texture

DRAWS = 48  # uniform numbers that describe an image
INK = ("outline", "silhouette", "sketch")  # black on white, no texture
_SUPERSAMPLING = 2
_GROUND_CONTRAST = 0.3  # of background textures: an object must stand out at 32 pixels
_tables = cache(outlines.tables)


def draw(
    label: NDArray[np.int64], family: NDArray[np.int64], z: Array, size: int, rendering: str = "natural"
) -> NDArray[np.uint8]:
    """Images, uint8 (B, 3, size, size).

    Parameters
    ----------
    label : (B,) which outline.
    family : (B,) which texture the object wears (ignored by the renderings in ink).
    z : (B, DRAWS) uniform in [0, 1): pose, light, colours, the background, and the textures' own parameters.
    """
    fine = size * _SUPERSAMPLING
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    u, v = np.broadcast_arrays(axis[None, None, :], -axis[None, :, None])
    margin = _signed_margin(label, z, u, v, wobble=rendering == "sketch")
    pixel = 2.0 / size
    if rendering in INK:
        rgb = np.repeat(1 - _ink(rendering, margin, z, u, v, pixel)[:, None], 3, axis=1)
    else:
        rgb = _paint(margin, family, z, u, v, pixel)
    coarse = rgb.reshape(len(label), 3, size, _SUPERSAMPLING, size, _SUPERSAMPLING).mean(axis=(3, 5))
    # Rounding hides differences in the last digit between machines' sines.
    return np.clip(np.round(coarse * 255), 0, 255).astype(np.uint8)


def _signed_margin(label: NDArray[np.int64], z: Array, u: Array, v: Array, wobble: bool) -> Array:
    """Distance to the outline along the ray from the centre, positive inside, (B, S, S) in half image widths."""
    column = (slice(None), None, None)
    scale = (0.42 + 0.24 * z[:, 3])[column]
    x = u - (0.5 * (z[:, 4] - 0.5))[column]
    y = v - (0.5 * (z[:, 5] - 0.5))[column]
    turn = (np.pi / 6 * (2 * z[:, 6] - 1))[column]
    # A shear and an aspect stand for the view from aside.
    stretch = np.exp(0.25 * (2 * z[:, 7] - 1))[column]
    shear = (0.3 * (2 * z[:, 8] - 1))[column]
    a, b = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
    a, b = (a + shear * b) * stretch, b / stretch
    place = (np.arctan2(b, a) / (2 * np.pi) % 1.0) * BINS
    low = np.floor(place).astype(np.int64)
    part = place - low
    table = _tables()[label]
    rows = np.arange(len(label))[column]
    radius = (1 - part) * table[rows, low % BINS] + part * table[rows, (low + 1) % BINS]
    if wobble:
        angle = 2 * np.pi * place / BINS
        phase = 2 * np.pi * z[:, 40:43]
        for i, waves in enumerate((3, 7, 12)):
            radius = radius * (1 + 0.025 * np.sin(waves * angle + phase[:, i][column]))
    return radius * scale - np.hypot(a, b)


def _coverage(margin: Array, softness: float) -> Array:
    return np.clip(margin / softness + 0.5, 0, 1)


def _ink(rendering: str, margin: Array, z: Array, u: Array, v: Array, pixel: float) -> Array:
    if rendering == "silhouette":
        return _coverage(margin, pixel / 2)
    # By its slope, the margin along the ray becomes a distance across the line: one width all around. (The
    # slope is bounded, for it grows without end towards the centre, where there is no line.)
    down, across = np.gradient(margin, pixel / _SUPERSAMPLING, axis=(1, 2))
    distance = np.abs(margin) / np.clip(np.hypot(down, across), 0.5, 2.5)
    if rendering == "outline":
        return np.clip(1.5 - distance / (0.9 * pixel), 0, 1)
    line = np.clip(1.5 - distance / (0.6 * pixel), 0, 1)
    angle = (np.pi * z[:, 43])[:, None, None]
    hatch = np.sin(2 * np.pi * 5 * (np.cos(angle) * u + np.sin(angle) * v)) > 0.8
    shade = (np.cos(angle) * v - np.sin(angle) * u) > 0.05
    return np.maximum(line * 0.9, 0.45 * (hatch & shade & (margin > 0)))


def _paint(margin: Array, family: Array, z: Array, u: Array, v: Array, pixel: float) -> Array:
    ground = np.floor(z[:, 9] * len(FAMILIES)).astype(np.int64)
    # Objects are brighter than their ground more often than not, in each channel by chance.
    bright, dim = 0.45 + 0.55 * z[:, 18:24], 0.5 * z[:, 32:38]
    inside = _textured(family, u, v, z[:, 10:18], (bright[:, :3], 0.4 * bright[:, 3:]), contrast=0.9)
    outside = _textured(ground, u, v, z[:, 24:32], (dim[:, :3], dim[:, 3:]), contrast=_GROUND_CONTRAST)
    cover = _coverage(margin, pixel)[:, None]
    rgb = cover * inside + (1 - cover) * outside
    # Light falls from one side; the exposure varies.
    angle = 2 * np.pi * z[:, 38]
    slope = np.cos(angle)[:, None, None] * u + np.sin(angle)[:, None, None] * v
    light = 1 + (0.45 * z[:, 39])[:, None, None] * slope
    exposure = (0.65 + 0.5 * z[:, 44])[:, None, None]
    return np.clip(rgb * (light * exposure)[:, None], 0, 1)


def _textured(family: Array, u: Array, v: Array, draws: Array, colours: tuple[Array, Array], contrast: float) -> Array:
    """(B, 3, S, S): a texture around the first of each image's colours, towards the second."""
    size = u.shape[-1]
    intensity = np.empty((len(family), size, size))
    for i in np.unique(family):
        mine = family == i
        shape = (int(mine.sum()), size, size)
        intensity[mine] = texture(FAMILIES[i], np.broadcast_to(u, shape), np.broadcast_to(v, shape), draws[mine])
    first, second = (colour[:, :, None, None] for colour in colours)
    return first + contrast * (second - first) * intensity[:, None]
