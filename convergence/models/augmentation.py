"""Random changes of training images, each the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convergence.models.options import Augmentation
from convergence.system import seeds

_PURPOSES = 3  # streams of one seed and step: the order of the images, shifts, flips


def generator(seed: int, step: int, purpose: int) -> torch.Generator:
    """The stream of one purpose at one step."""
    return torch.Generator().manual_seed(seeds.for_torch(_stream(seed, step, purpose)))


def dropout_seed(seed: int, step: int) -> int:
    """The seed of what a network itself draws in a step, apart from all streams."""
    return seeds.for_torch(~_stream(seed, step, 0))


def _stream(seed: int, step: int, purpose: int) -> int:
    return (seed * 1_000_003 + step) * _PURPOSES + purpose


def _shift(pixels: Tensor, seed: int, step: int) -> Tensor:
    """Each image moved by up to an eighth of its side, edges repeated."""
    stream = generator(seed, step, 1)
    n, _, height, width = pixels.shape
    reach = max(1, width // 8)
    moves = torch.randint(-reach, reach + 1, (2, n, 1), generator=stream)
    rows = (torch.arange(height) + moves[0]).clamp(0, height - 1).to(pixels.device)
    columns = (torch.arange(width) + moves[1]).clamp(0, width - 1).to(pixels.device)
    image = torch.arange(n, device=pixels.device)[:, None, None]
    return pixels.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _flip(pixels: Tensor, seed: int, step: int) -> Tensor:
    """Every other image mirrored, left to right."""
    mirrored = torch.randint(0, 2, (len(pixels), 1, 1, 1), generator=generator(seed, step, 2)).bool()
    return torch.where(mirrored.to(pixels.device), pixels.flip(-1), pixels)


AUGMENTS: dict[Augmentation, Callable[[Tensor, int, int], Tensor]] = {
    Augmentation.shift: _shift,
    Augmentation.flip: _flip,
}
