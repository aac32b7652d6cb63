"""Many things in one operation: tensors of one shape as one tensor, and as many at a time as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Some = TypeVar("Some", bound=Sequence[object])


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """(n, …) of n tensors; a single one, which may be large, is not copied."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(list(tensors))


def batches(things: Some, size: int) -> Iterator[Some]:
    """``size`` of them at a time, of a list or a range; the last may be fewer."""
    return (things[first : first + size] for first in range(0, len(things), size))  # type: ignore[misc]
