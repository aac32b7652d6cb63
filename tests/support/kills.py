"""A run that is killed at an instant of one of its stages."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convergence.experiment import representations, rows
from convergence.models import training


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
