"""Families of texture, as functions of the plane: eight, each worn by two classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]  # (B, S, S)

FAMILIES = ("stripes", "checks", "dots", "rings", "waves", "blobs", "rays", "grain")


def texture(family: str, u: Plane, v: Plane, draws: NDArray[np.float64]) -> Plane:
    """Intensity in [0, 1] of one family at the points (u, v), both (B, S, S) in image widths.

    ``draws`` (B, 8) uniform numbers choose orientation, frequency and phase of each image.
    """
    angle = (draws[:, 0] * np.pi)[:, None, None]
    frequency = (2 * np.pi * (1.8 + 1.4 * draws[:, 1]))[:, None, None]
    phase = (2 * np.pi * draws[:, 2])[:, None, None]
    other = (2 * np.pi * draws[:, 3])[:, None, None]
    along = np.cos(angle) * u + np.sin(angle) * v
    across = -np.sin(angle) * u + np.cos(angle) * v
    if family == "stripes":
        wave = np.sin(frequency * along + phase)
    elif family == "checks":
        wave = np.tanh(4 * np.sin(frequency * along + phase) * np.sin(frequency * across + other))
    elif family == "dots":
        wave = np.cos(frequency * along + phase) + np.cos(frequency * across + other) - 0.8
    elif family == "rings":
        wave = np.sin(frequency * np.hypot(u - 0.6 * np.cos(other), v - 0.6 * np.sin(other)) + phase)
    elif family == "waves":
        wave = np.sin(frequency * along + phase + 1.8 * np.sin(0.8 * frequency * across + other))
    elif family == "blobs":
        wave = np.zeros_like(u)
        for i in range(4):
            turn = angle + np.pi * (i + 0.5 * draws[:, 4 + i, None, None]) / 4
            wave = wave + np.sin(0.5 * frequency * (np.cos(turn) * u + np.sin(turn) * v) + phase * (i + 1) + other)
    elif family == "rays":
        turn = np.arctan2(v - 0.5 * np.sin(other), u - 0.5 * np.cos(other))
        wave = np.sin(np.round(8 + 8 * draws[:, 1])[:, None, None] * turn + phase)
    else:
        wave = np.sin(3 * frequency * along + phase) * np.sin(3.3 * frequency * across + other) * 1.5
    return 0.5 + 0.5 * np.clip(wave, -1, 1)
