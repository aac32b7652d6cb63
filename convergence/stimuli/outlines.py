"""Sixteen outlines, each a curve r(θ) around the object's centre, so that "inside" is one look-up per pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BINS = 720  # directions in a table


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
    # The well-known curve by its parameter p, turned into radii.
    p = np.linspace(-np.pi, np.pi, 4001)
    x = 16 * np.sin(p) ** 3
    y = 13 * np.cos(p) - 5 * np.cos(2 * p) - 2 * np.cos(3 * p) - np.cos(4 * p)
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    order = np.argsort(angle)
    return np.interp((t + np.pi) % (2 * np.pi) - np.pi, angle[order], radius[order], period=2 * np.pi)


def _drop(t: Array) -> Array:
    return 0.6 + 0.7 * np.exp(-3.2 * np.sqrt(1 - np.sin(t)))


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


def tables() -> Array:
    """(16, BINS) radii around the centre of mass, of equal area, so that neither place nor size tells a class."""
    return np.stack([_centred(outline) for outline in _OUTLINES.values()])


def _centred(outline: Callable[[Array], Array]) -> Array:
    fine = np.arange(10 * BINS) * (2 * np.pi / (10 * BINS))
    points = outline(fine) * np.exp(1j * fine)
    points = points - (2 / 3 * np.abs(points) ** 2 * points).sum() / (np.abs(points) ** 2).sum()
    angle = np.angle(points)
    order = np.argsort(angle)
    theta = np.arange(BINS) * (2 * np.pi / BINS)
    radius = np.interp(theta, angle[order], np.abs(points)[order], period=2 * np.pi)
    return radius / np.sqrt((radius**2).mean())
