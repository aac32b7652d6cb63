"""The number of torch's threads, which belongs to the whole process: nowhere else is it set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

import torch

_T = TypeVar("_T")
_lock = Lock()
_before = 0  # of torch, before the first of several that share the process took them
_limits: list[int] = []  # of all that share it now


def at_most(count: int) -> None:
    """For good, no more threads than ``count``."""
    torch.set_num_threads(min(torch.get_num_threads(), count))


@contextmanager
def one_thread() -> Iterator[int]:
    """Within it torch uses one thread, so that sums are rounded the same way on any number of cores.

    Yields the number of threads that there were. While any is within it is one; the last to end puts back what was.
    """
    with _shared(lambda threads: 1) as before:
        yield before


@contextmanager
def shared_by(count: int) -> Iterator[None]:
    """Within it torch uses so many threads as each of ``count`` that work at once may have."""
    with _shared(lambda threads: max(1, threads // count)):
        yield


@contextmanager
def _shared(share: Callable[[int], int]) -> Iterator[int]:
    global _before
    with _lock:
        if not _limits:
            _before = torch.get_num_threads()
        limit = share(_before)
        _limits.append(limit)
        torch.set_num_threads(min(_limits))
    try:
        yield _before
    finally:
        with _lock:
            _limits.remove(limit)
            torch.set_num_threads(min(_limits, default=_before))


def side_by_side(work: Callable[[_T], None], items: Sequence[_T], count: int, over: Event) -> None:
    """``work`` on each item, on ``count`` threads at once, which share torch's among them; begun in the items' order.

    When one fails, or the user interrupts, those that have not begun never do, and ``over`` is set, so that the others
    may end early; then the failure is raised.
    """
    if count < 2:
        for item in items:
            work(item)
        return
    with shared_by(count), ThreadPoolExecutor(count) as pool:
        begun = [pool.submit(work, item) for item in items]
        try:
            for each in as_completed(begun):
                each.result()
        except BaseException:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
