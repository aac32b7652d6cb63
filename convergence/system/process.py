"""The state that belongs to the whole process, in one place: its environment, its arguments, whether it shows progress.

Whoever changes such state does it here, and where it can be, for a while only. Elsewhere nothing of it is written;
only torch's threads stand in ``threads.py``, since this is loaded before torch.
"""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NoReturn

_progress: ContextVar[bool] = ContextVar("progress", default=True)
_status: int | None = None  # that the process leaves with


def prepare() -> None:
    """What has to be set before torch is loaded.

    Threads that wait must sleep. Where they spin, a run beside another program on the same cores trains several times
    slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    atexit.register(_end_at_once)  # the first to be registered is the last to be called


def leave(status: int) -> NoReturn:
    """End the process with this status. Whatever is registered for its end is done, but nothing is taken apart.

    To take PyTorch apart takes Python the better part of a second.
    """
    global _status
    _status = status
    sys.exit(status)


def _end_at_once() -> None:
    if _status is None:  # an error ends it, with a status of Python's
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more: Python knows what to do
        return
    os._exit(_status)


@contextmanager
def loading() -> Iterator[None]:
    """Within it Python looks for no garbage, as it would again and again among all that a library makes when loaded."""
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looks:
            gc.enable()


def hand_down(settings: Mapping[str, str]) -> None:
    """Set variables of the environment, for workers and launched jobs."""
    os.environ.update(settings)


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Within it, a variable of the environment has this value, for the processes that are started too."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def arguments_of_hydra(words: Sequence[str]) -> Iterator[None]:
    """Hydra reads its words from ``sys.argv``, and raises its errors, instead of printing them, by a variable."""
    before = sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # stays: the workers of a launcher inherit it
    sys.argv = list(words)
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def showing_progress(shown: bool) -> Iterator[None]:
    """Whether bars and lines of progress are shown within."""
    token = _progress.set(shown)
    try:
        yield
    finally:
        _progress.reset(token)


def shows_progress() -> bool:
    return _progress.get()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within it, new connections are given up after so many seconds without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
