"""The embedded data set: sixteen outlines under varying pose, light, texture and colour. Nothing to download.

An outline is a curve r(θ) around the object's centre, so that "inside" is one look-up per pixel. Each class has a
texture family of its own that it shares with one other class: in a share of the images (``texture_reliability``) the
object wears it. Texture then narrows the class down to two, shape tells it apart among sixteen, and a network can
lean on both; neither alone does as well as the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convergence.config import ShapesConfig
from convergence.errors import UserError
from convergence.stimuli.base import Stimuli, as_image, digest
from convergence.stimuli.textures import FAMILIES, texture

_VERSION = 1  # of the drawing: raise it whenever a pixel changes
_BINS = 720
_SUPERSAMPLING = 2
_BATCH = 500
_DRAWS = 48
_GROUND_CONTRAST = 0.3  # of background textures: an object must stand out at 32 pixels
RENDERINGS = ("natural", "outline", "silhouette", "sketch", "texture_swap", "cue_conflict")
SPLITS = {"train": 0, "test": 1}

Array = NDArray[Any]


def _polygon(corners: int, turn: float = 0.0) -> Callable[[Array], Array]:
    half = np.pi / corners
    return lambda t: np.cos(half) / np.cos((t + turn) % (2 * half) - half)


def _star(points: int, depth: float) -> Callable[[Array], Array]:
    def radius(t: Array) -> Array:
        # The edge from a tip (1, 0) to a notch (depth, half): a straight line in polar form.
        half = np.pi / points
        a = np.abs((t - np.pi / 2 + half) % (2 * half) - half)
        return depth * np.sin(half) / (np.sin(a) + depth * np.sin(half - a))

    return radius


def _rectangle(height: float) -> Callable[[Array], Array]:
    return lambda t: 1 / np.maximum(np.abs(np.cos(t)), np.abs(np.sin(t)) / height)


def _cross(t: Array) -> Array:
    c, s = np.maximum(np.abs(np.cos(t)), 1e-9), np.maximum(np.abs(np.sin(t)), 1e-9)
    return np.maximum(np.minimum(1 / c, 0.35 / s), np.minimum(1 / s, 0.35 / c))


def _heart(t: Array) -> Array:
    s = np.sin(t)
    return (2 - 2 * s + s * np.sqrt(np.abs(np.cos(t))) / (s + 1.4)) / 3.2


def _drop(t: Array) -> Array:
    return 0.62 + 0.38 * np.exp(-2.6 * (1 - np.sin(t)) ** 0.7)


def _half_disc(t: Array) -> Array:
    # Around a centre above the cut: whichever is nearer, the arc or the straight edge.
    s = np.sin(t)
    arc = -0.45 * s + np.sqrt(1 - 0.45**2 * np.cos(t) ** 2)
    return np.where(s < 0, np.minimum(arc, 0.45 / np.maximum(-s, 1e-9)), arc)


_OUTLINES: dict[str, Callable[[Array], Array]] = {
    "disc": np.ones_like,
    "ellipse": lambda t: 0.55 / np.sqrt((0.55 * np.cos(t)) ** 2 + np.sin(t) ** 2),
    "triangle": _polygon(3, np.pi / 6),
    "square": _rectangle(1.0),
    "rectangle": _rectangle(0.5),
    "pentagon": _polygon(5, -np.pi / 2 + np.pi / 5),
    "hexagon": _polygon(6),
    "octagon": _polygon(8),
    "star4": _star(4, 0.42),
    "star5": _star(5, 0.45),
    "star7": _star(7, 0.6),
    "cross": _cross,
    "heart": _heart,
    "drop": _drop,
    "half_disc": _half_disc,
    "flower": lambda t: 0.78 + 0.22 * np.cos(5 * t),
}
CLASSES = tuple(_OUTLINES)


def _tables() -> Array:
    """(16, bins) outlines of equal area, so that size tells nothing."""
    theta = np.arange(_BINS) * (2 * np.pi / _BINS)
    radii = np.stack([outline(theta) for outline in _OUTLINES.values()])
    return radii / np.sqrt((radii**2).mean(axis=1, keepdims=True))


@dataclass
class Shapes(Stimuli):
    """The first M images of a split; image k of a seed is the same whatever M is."""

    config: ShapesConfig | None = None
    split: str = "test"

    def pixels(self, indices: Sequence[int]) -> Tensor:
        assert self.config is not None
        parts = [draw(self.config, self.split, list(indices[i : i + _BATCH])) for i in range(0, len(indices), _BATCH)]
        return torch.from_numpy(np.concatenate(parts))

    def image(self, i: int) -> Image.Image:
        return as_image(self.pixels([i])[0])


def shapes(config: ShapesConfig, split: str) -> Shapes:
    """The images of a split ("train", "test"), drawn when they are asked for.

    Raises
    ------
    UserError
        If the rendering is unknown, the reliability is no probability, or no number of images is given.
    """
    if config.rendering not in RENDERINGS:
        raise UserError(f"dataset.rendering={config.rendering} is not known: choose from {', '.join(RENDERINGS)}.")
    if not 0 <= config.texture_reliability <= 1:
        raise UserError(f"dataset.texture_reliability={config.texture_reliability} is not between 0 and 1.")
    if config.size < 8:
        raise UserError(f"dataset.size={config.size} is too small to tell outlines apart: give at least 8.")
    count = config.stimuli if split == "test" else config.train_images
    if count is None or count < 1:
        option = "stimuli" if split == "test" else "train_images"
        raise UserError(f"dataset=shapes can draw any number of images: say how many with dataset.{option}=N.")
    what = (_VERSION, config.seed, split, config.size, config.texture_reliability, config.rendering, count)
    return Shapes(
        name="shapes",
        classes=CLASSES,
        ids=tuple(f"shapes-{config.seed}-{split}-{k}" for k in range(count)),
        labels=torch.arange(count) % len(CLASSES),
        fingerprint=digest("shapes", *what),
        config=config,
        split=split,
    )


def worn(config: ShapesConfig, label: NDArray[np.int64], draws: Array) -> NDArray[np.int64]:
    """Texture family of each object, (B,), from its class and two uniform draws."""
    own = label % len(FAMILIES)
    if config.rendering == "texture_swap":
        return np.floor(draws[:, 1] * len(FAMILIES)).astype(np.int64)  # any: it says nothing of the class
    other = (own + 1 + np.floor(draws[:, 1] * (len(FAMILIES) - 1)).astype(np.int64)) % len(FAMILIES)
    # Under cue_conflict always that of some other class: conflicting_class tells which.
    reliable = 0.0 if config.rendering == "cue_conflict" else config.texture_reliability
    return np.where(draws[:, 0] < reliable, own, other)


def conflicting_class(config: ShapesConfig, split: str, indices: Sequence[int]) -> Tensor:
    """The class whose texture each image wears under ``rendering=cue_conflict``, (n,)."""
    k = np.asarray(indices)
    draws = _uniforms(config.seed, split, k)
    label = k % len(CLASSES)
    family = worn(config, label, draws[:, :2])
    return torch.from_numpy(family + len(FAMILIES) * (draws[:, 2] < 0.5))


def _uniforms(seed: int, split: str, k: NDArray[np.int64]) -> Array:
    """(B, draws) numbers of each image: a stream of its own by (seed, split, k)."""
    return np.stack(
        [np.random.Generator(np.random.Philox(key=[2 * seed + SPLITS[split], int(i)])).random(_DRAWS) for i in k]
    )


def draw(config: ShapesConfig, split: str, indices: Sequence[int]) -> NDArray[np.uint8]:
    """uint8 (B, 3, S, S) images with these numbers."""
    k = np.asarray(indices, dtype=np.int64)
    label = k % len(CLASSES)
    z = _uniforms(config.seed, split, k)
    size = config.size * _SUPERSAMPLING
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    u, v = np.broadcast_arrays(axis[None, None, :], -axis[None, :, None])
    margin = _signed_margin(label, z, u, v, wobble=config.rendering == "sketch")
    pixel = 2.0 / config.size
    if config.rendering in ("outline", "silhouette", "sketch"):
        ink = _ink(config.rendering, margin, z, u, v, pixel)
        rgb = np.repeat(1 - ink[:, None], 3, axis=1)
    else:
        family = worn(config, label, z[:, :2])
        rgb = _paint(margin, family, z, u, v, pixel)
    shape = (len(k), 3, config.size, _SUPERSAMPLING, config.size, _SUPERSAMPLING)
    coarse = rgb.reshape(shape).mean(axis=(3, 5))
    # Rounding hides differences in the last digit between machines' sines.
    return np.clip(np.round(coarse * 255), 0, 255).astype(np.uint8)


_TABLES: list[Array] = []


def _signed_margin(label: NDArray[np.int64], z: Array, u: Array, v: Array, wobble: bool) -> Array:
    """Distance to the outline along the ray from the centre, positive inside, (B, S, S) in half image widths."""
    if not _TABLES:
        _TABLES.append(_tables())
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
    place = (np.arctan2(b, a) / (2 * np.pi) % 1.0) * _BINS
    low = np.floor(place).astype(np.int64)
    part = place - low
    table = _TABLES[0][label]
    rows = np.arange(len(label))[column]
    radius = (1 - part) * table[rows, low % _BINS] + part * table[rows, (low + 1) % _BINS]
    if wobble:
        angle = 2 * np.pi * place / _BINS
        phase = 2 * np.pi * z[:, 40:43]
        for i, waves in enumerate((3, 7, 12)):
            radius = radius * (1 + 0.025 * np.sin(waves * angle + phase[:, i][column]))
    return radius * scale - np.hypot(a, b)


def _coverage(margin: Array, softness: float) -> Array:
    return np.clip(margin / softness + 0.5, 0, 1)


def _ink(rendering: str, margin: Array, z: Array, u: Array, v: Array, pixel: float) -> Array:
    if rendering == "silhouette":
        return _coverage(margin, pixel / 2)
    thick = 1.1 * pixel if rendering == "outline" else 0.8 * pixel
    line = np.clip(1.5 - np.abs(margin) / thick, 0, 1)
    if rendering == "outline":
        return line
    angle = (np.pi * z[:, 43])[:, None, None]
    hatch = np.sin(2 * np.pi * 5 * (np.cos(angle) * u + np.sin(angle) * v)) > 0.8
    shade = (np.cos(angle) * v - np.sin(angle) * u) > 0.05
    return np.maximum(line * 0.9, 0.45 * (hatch & shade & (margin > 0)))


def _paint(margin: Array, family: NDArray[np.int64], z: Array, u: Array, v: Array, pixel: float) -> Array:
    ground = np.floor(z[:, 9] * len(FAMILIES)).astype(np.int64)
    # Objects are brighter than their ground more often than not, in each channel by chance.
    bright, dim = 0.45 + 0.55 * z[:, 18:24], 0.5 * z[:, 32:38]
    inside = _textured(family, u, v, z[:, 10:18], bright[:, :3], 0.4 * bright[:, 3:], contrast=0.9)
    outside = _textured(ground, u, v, z[:, 24:32], dim[:, :3], dim[:, 3:], contrast=_GROUND_CONTRAST)
    cover = _coverage(margin, pixel)[:, None]
    rgb = cover * inside + (1 - cover) * outside
    # Light falls from one side; the exposure varies.
    angle = 2 * np.pi * z[:, 38]
    slope = np.cos(angle)[:, None, None] * u + np.sin(angle)[:, None, None] * v
    light = 1 + (0.45 * z[:, 39])[:, None, None] * slope
    exposure = (0.65 + 0.5 * z[:, 44])[:, None, None]
    return np.clip(rgb * (light * exposure)[:, None], 0, 1)


def _textured(
    family: NDArray[np.int64], u: Array, v: Array, draws: Array, colour: Array, other: Array, contrast: float
) -> Array:
    """(B, 3, S, S): a texture around one colour of each image, towards another."""
    size = u.shape[-1]
    intensity = np.empty((len(family), size, size))
    for i, name in enumerate(FAMILIES):
        mine = family == i
        if mine.any():
            shape = (int(mine.sum()), size, size)
            intensity[mine] = texture(name, np.broadcast_to(u, shape), np.broadcast_to(v, shape), draws[mine])
    first, second = colour[:, :, None, None], other[:, :, None, None]
    return first + contrast * (second - first) * intensity[:, None]
