"""The sets of weights in a checkpoint: wherever they are wrapped, and under whatever name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_DEEPEST = 6
# What training keeps beside the network, under whose names no weights of one are looked for.
_NOT_A_NETWORK = re.compile(
    r"(?i)optim\w*|opt|\w*sched\w*|\w*scaler\w*|amp|rng\w*|\w*rng_state\w*|callbacks|loops|hparams|hyper_parameters"
    r"|args|config|cfg|\w*criterion\w*|\w*loss\w*|metrics?|history|log\w*|dataloader\w*|sampler"
)


def states(content: Any) -> dict[str, dict[str, Tensor]]:
    """Every mapping from names to tensors in a checkpoint, by its dotted place ("" is the top)."""
    found: dict[str, dict[str, Tensor]] = {}
    _collect(content, "", found, 0)
    return found


def step(content: Any) -> int | None:
    """Optimiser steps done, where a checkpoint tells them."""
    if not isinstance(content, Mapping):
        return None
    for name in ("global_step", "step", "iteration", "num_updates"):
        value = content.get(name)
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
    return None


def _collect(content: Any, place: str, found: dict[str, dict[str, Tensor]], depth: int) -> None:
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {str(n): t for n, value in content.items() if isinstance(n, str) and (t := _tensor(value)) is not None}
    if tensors:
        found[place] = tensors
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Mapping) and not _NOT_A_NETWORK.fullmatch(name):
            _collect(value, f"{place}.{name}" if place else name, found, depth + 1)


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value))
    return None
