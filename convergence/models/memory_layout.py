"""How images and features lie in memory: the same numbers, at different speeds."""

from __future__ import annotations

import torch
from torch import nn

_FEW_CONVOLUTIONS = 2  # a transformer's, which embed patches


def layout(model: nn.Module) -> torch.memory_format:
    """The layout of images in memory that is fast for an architecture: features last for convolutional networks."""
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if len(convolutions) <= _FEW_CONVOLUTIONS or any(p.ndim > 4 for p in model.parameters()):
        return torch.contiguous_format
    return torch.channels_last
