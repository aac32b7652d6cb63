"""Random weights at little cost, for networks of hundreds of millions: a block of draws, again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

_BLOCK = 1_000_003  # a prime, so that no two units have the same weights


def _repeated(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def fill(tensor: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if tensor.numel() <= _BLOCK or not tensor.is_contiguous():
            return draw(tensor, *arguments, **options)
        block = draw(torch.empty(_BLOCK, dtype=tensor.dtype), *arguments, **options)
        for part in tensor.detach().view(-1).split(_BLOCK):
            part.copy_(block[: len(part)])
        return tensor

    return fill


def cheap(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone, large tensors are filled with a block of uniform or normal draws, repeated."""
    for name in ("uniform_", "normal_"):
        patch.setattr(torch.Tensor, name, _repeated(getattr(torch.Tensor, name)))
