"""The number of torch's threads, which belongs to the whole process: nowhere else is it set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_lock = Lock()
_before = 0  # of torch, before the first of several that share the process took them
_sharing = 0


def at_most(count: int) -> None:
    """For good, no more threads than ``count``."""
    torch.set_num_threads(min(torch.get_num_threads(), count))


@contextmanager
def one_thread() -> Iterator[int]:
    """Within it torch uses one thread, so that sums are rounded the same way on any number of cores.

    Yields the number of threads that there were. While several are within at once it is one, and the last to end puts
    it back.
    """
    global _before, _sharing
    with _lock:
        if _sharing == 0:
            _before = torch.get_num_threads()
            torch.set_num_threads(1)
        _sharing += 1
    try:
        yield _before
    finally:
        with _lock:
            _sharing -= 1
            if _sharing == 0:
                torch.set_num_threads(_before)
