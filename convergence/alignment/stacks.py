"""Tensors of one shape as one tensor, so that one operation serves all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(n, …) of n tensors; a single one, which may be large, is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))
