"""Torch's own random numbers, which belong to the whole process, from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_lock = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it they follow from ``seed``, and afterwards they go on as before; other threads wait for their turn."""
    with _lock, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
