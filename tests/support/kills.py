"""A run that is killed at an instant of one of its stages, and a training at one of its steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from convergence.experiment import representations, rows
from convergence.models import training
from tests.support.recipes import SMALL, recipe, trained


def killed_in(stage: str, nth: int, delay: float) -> None:
    """This process will be killed ``delay`` seconds into the nth stage whose progress begins so, or at its end."""
    seen = 0

    @contextmanager
    def deadly(what: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
        nonlocal seen
        mine = what.startswith(stage) and total > 0
        seen += mine
        if mine and seen == nth:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        yield lambda n: None
        if mine and seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    for module in (training, representations, rows):
        module.progress = deadly  # type: ignore[assignment]


def train_until_killed(folder: Path) -> None:
    """Train the small recipe; this process is killed at the seventh step."""
    real, steps = training.train_step, iter(range(100))

    def step(*arguments: Any) -> float:
        if next(steps) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    training.train_step = step
    trained(recipe(), SMALL, folder=folder, device=torch.device("cpu"))
