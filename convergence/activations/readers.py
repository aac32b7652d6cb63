"""Who reads which entries of the cache, so that none is removed under a run that lives.

Each process that reads keeps one file in ``<cache>/.reading``, to which it adds a line for each entry that it begins or
ends to read, and whose time it renews once a minute, whatever it computes meanwhile.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
import uuid
import weakref
from collections import Counter
from contextlib import suppress
from pathlib import Path

_FOLDER = ".reading"
_BEAT = 60.0  # seconds between two signs of life
VOID = 600.0  # seconds without one after which a process of another host no longer counts
_lock = threading.RLock()  # a hold may end, by garbage collection, while another one is noted
_files: dict[tuple[int, Path], Path] = {}  # this process's file in each cache


class Hold:
    """While it lives, :func:`in_use` tells that the entry is read. A cache that can't be written is read without."""

    def __init__(self, entry: Path) -> None:
        _note(entry, "+")
        weakref.finalize(self, _note, entry, "-")


def in_use(entry: Path) -> bool:
    """Whether a process that lives reads the entry."""
    place = entry.parent.parent / _FOLDER
    return any(_reads(path, _name(entry)) for path in place.glob("*")) if place.is_dir() else False


def _reads(path: Path, entry: str) -> bool:
    try:
        if not _is_alive(path):
            return False
        lines = path.read_text().splitlines()[1:]
    except (OSError, ValueError, IndexError):  # it ends, or begins, just now
        return False
    counts: Counter[str] = Counter()
    for line in lines:
        counts[line[2:]] += 1 if line[0] == "+" else -1
    return counts[entry] > 0


def _is_alive(path: Path) -> bool:
    """Whether the process that keeps the file lives."""
    host, pid = path.read_text().splitlines()[0].split(" ", 1)
    if host != socket.gethostname():
        return time.time() - path.stat().st_mtime <= VOID
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, and is somebody else's
    return True


def _name(entry: Path) -> str:
    return f"{entry.parent.name}/{entry.name}"


def _note(entry: Path, sign: str) -> None:
    with _lock, suppress(OSError):
        key = (os.getpid(), entry.parent.parent)
        if key not in _files:
            if sign == "-":
                return  # of the process that this one was forked from
            _files[key] = _begun(key[1] / _FOLDER)
        with open(_files[key], "a") as handle:
            handle.write(f"{sign} {_name(entry)}\n")


def _begun(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    path.write_text(f"{socket.gethostname()} {os.getpid()}\n")
    atexit.register(_ended, path, os.getpid())
    threading.Thread(target=_live, args=(path,), daemon=True).start()
    return path


def _live(path: Path) -> None:
    while path.exists():
        with suppress(OSError):
            os.utime(path)
        time.sleep(_BEAT)


def _ended(path: Path, pid: int) -> None:
    if os.getpid() == pid:
        with suppress(OSError):
            path.unlink()


def forget_dead(cache: Path) -> None:
    """Remove the files of processes that ended without a chance to do so."""
    for path in (cache / _FOLDER).glob("*"):
        with suppress(OSError, ValueError, IndexError):
            if not _is_alive(path):
                path.unlink()
