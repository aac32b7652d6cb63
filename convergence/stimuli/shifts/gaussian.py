"""Gaussian blur of square planes, as two matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

_TRUNCATE = 4.0  # standard deviations
_BLOCK = 64  # pixels along an axis that go into one product, besides those that a blur sees around


def blur(planes: Tensor, sigma: float, outside: float | None = None) -> Tensor:
    """Planes (..., S, S) blurred with a Gaussian of ``sigma`` pixels, truncated at 4 sigma.

    Parameters
    ----------
    outside : what lies around the image; None: nothing does, the weights inside sum to one.
    """
    if sigma == 0:
        return planes
    weights = _weights(planes.shape[-1], sigma, planes)
    radius = _radius(sigma)
    if outside is None:
        weights = weights / weights.sum(1, keepdim=True)
        return _down(weights, radius, _down(weights, radius, planes).mT).mT
    return _down(weights, radius, _down(weights, radius, planes - outside).mT).mT + outside


def _down(weights: Tensor, radius: int, planes: Tensor) -> Tensor:
    """Weights @ planes; weights further than ``radius`` from the diagonal are zero, and left out."""
    size = len(weights)
    spans = [(start, slice(max(start - radius, 0), start + _BLOCK + radius)) for start in range(0, size, _BLOCK)]
    return torch.cat([weights[start : start + _BLOCK, seen] @ planes[..., seen, :] for start, seen in spans], -2)


def _radius(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


def _weights(size: int, sigma: float, like: Tensor) -> Tensor:
    """(size, size): row i holds what each pixel gives to pixel i."""
    place = torch.arange(size, dtype=like.dtype, device=like.device)
    radius = _radius(sigma)
    steps = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    total = torch.exp(-0.5 * (steps / sigma) ** 2).sum()
    distance = place[:, None] - place
    return torch.exp(-0.5 * (distance / sigma) ** 2) / total * (distance.abs() <= radius)
