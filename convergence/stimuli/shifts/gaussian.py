"""Gaussian blur of square planes, as two matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

_TRUNCATE = 4.0  # standard deviations


def blur(planes: Tensor, sigma: float, outside: float | None = None) -> Tensor:
    """Planes (..., S, S) blurred with a Gaussian of ``sigma`` pixels, truncated at 4 sigma.

    Parameters
    ----------
    outside : what lies around the image; None: nothing does, the weights inside sum to one.
    """
    if sigma == 0:
        return planes
    weights = _weights(planes.shape[-1], sigma, planes)
    if outside is None:
        weights = weights / weights.sum(1, keepdim=True)
        return weights @ planes @ weights.mT
    return weights @ (planes - outside) @ weights.mT + outside


def _weights(size: int, sigma: float, like: Tensor) -> Tensor:
    """(size, size): row i holds what each pixel gives to pixel i."""
    place = torch.arange(size, dtype=like.dtype, device=like.device)
    radius = int(_TRUNCATE * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    total = torch.exp(-0.5 * (steps / sigma) ** 2).sum()
    distance = place[:, None] - place
    return torch.exp(-0.5 * (distance / sigma) ** 2) / total * (distance.abs() <= radius)
