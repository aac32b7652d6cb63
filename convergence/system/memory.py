"""Memory that is kept from going back to the kernel, and given back at once."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from convergence.system.process import hand_down

# Of glibc's malloc.h: the option's number, its value, and the variable that sets it when a process starts.
_MMAP_THRESHOLD, _MMAP_MAX = -3, -4
_SETTINGS = (
    (_MMAP_MAX, 0, "MALLOC_MMAP_MAX_"),
    (-1, 2**31 - 1, "MALLOC_TRIM_THRESHOLD_"),
    (-8, 1, "MALLOC_ARENA_MAX"),
)
_LARGE = 2**22  # bytes of tensors that leave holes worth giving back
_most = float("inf")  # bytes that the process is to hold


def held(status: Path = Path("/proc/self/status")) -> tuple[int, int]:
    """Bytes of memory that this process holds now, and has held at most; 0 where that is not told (not on Linux)."""
    try:
        told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(told["VmRSS"].split()[0]) * 1024, int(told["VmHWM"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return 0, 0


def keep_memory() -> bool:
    """Let this process, and those that it starts, keep what they free for what they allocate next.

    glibc gives every large activation back to the kernel, which maps and zeroes it anew for the next layer: up to half
    of the time of an extraction on a CPU. To be called before the first tensor. Other C libraries are left alone, and
    so is a process whose environment has settings of its own.

    Returns
    -------
    Whether memory is kept.
    """
    if not _is_glibc():
        return False
    own = [name for _, _, name in _SETTINGS if name in os.environ]
    if own:
        return all(os.environ.get(name) == str(value) for _, value, name in _SETTINGS)
    hand_down({name: str(value) for _, value, name in _SETTINGS})
    return _mallopt(*((option, value) for option, value, _ in _SETTINGS))


@contextmanager
def within(room: float) -> Iterator[None]:
    """Work that is to hold ``room`` bytes more than is held now, and that calls :func:`ease` between its steps."""
    global _most
    before, _most = _most, min(_most, held()[0] + room)
    try:
        yield
    finally:
        _most = before
        if os.environ.get("MALLOC_MMAP_MAX_") == "0":
            _mallopt((_MMAP_MAX, 0))
        give_back()


def ease(always: bool = False) -> None:
    """Where more is held than should be, or ``always``: give back what is freed, and large tensors at once from now on.

    Tensors of one size leave holes that others don't fill. To have the kernel map memory anew takes time, so that this
    is not done where there is room.
    """
    if always or held()[0] > _most:
        _mallopt((_MMAP_THRESHOLD, _LARGE), (_MMAP_MAX, 2**16))
        give_back()


def give_back() -> None:
    """Let the kernel have what this process has freed; nothing on other C libraries than glibc."""
    if _is_glibc():
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _mallopt(*settings: tuple[int, int]) -> bool:
    """Whether all of them are taken."""
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    return sum(mallopt(option, value) for option, value in settings) == len(settings)


@cache
def _is_glibc() -> bool:
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    try:
        ctypes.CDLL("libc.so.6")
    except OSError:
        return False
    return True
