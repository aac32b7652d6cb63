"""Claims: who works on what, so that no two processes do the same work."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from convergence.system.files import explained

LEASE = 60.0  # seconds without a sign of life after which a claim is void; beyond NFS's own caching of times
_POLLS = (0.2, 5.0)  # seconds between two looks at a claim that another one holds: at first, and in the end


@contextmanager
def only_one(path: Path, waiting: str) -> Iterator[None]:
    """Hold a claim that saves double work, and nothing else rests on it: what is written is right without.

    A second process logs ``waiting`` and waits. The claim is a file that its holder touches while it lives: it works
    where ``flock`` does not (NFS). One that is left behind by a killed process falls to the next, at once on the same
    host; so does after ``LEASE`` seconds one on another host, or of a process that was stopped. How a void claim is
    taken over, so that only one of those that wait gets it, is filelock's business.
    """
    from filelock import SoftFileLease, Timeout

    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        claim = SoftFileLease(path, lease_duration=LEASE)
        poll, most = _POLLS
        try:
            claim.acquire(timeout=0)
        except Timeout:
            if waiting:
                logging.getLogger("convergence").warning(waiting)
            unnamed = _Unnamed(path)
            while not claim.is_locked:
                # Those that wait long look rarely: a hundred jobs must not keep a file server busy.
                with suppress(Timeout):
                    claim.acquire(timeout=poll, poll_interval=poll)
                if not claim.is_locked:
                    unnamed.remove_if_void()
                poll = min(1.5 * poll, most)
    try:
        yield
    finally:
        claim.release()


class _Unnamed:
    """A claim whose maker died before it wrote its name, which filelock takes for one that holds for ever."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[tuple[int, int, int], float] | None = None

    def remove_if_void(self) -> None:
        """Remove the claim if it has been there, the same and without a name, for a sixth of a lease."""
        try:
            about = self._path.stat()
        except OSError:
            return
        key, now = _key(about), time.monotonic()
        if about.st_size or self._seen is None or self._seen[0] != key:
            self._seen = (key, now)
            return
        if now - self._seen[1] < LEASE / 6:
            return
        # Taken aside before it is looked at again: another one that waits may have removed it and made its own.
        aside = self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex[:8]}.void")
        with suppress(OSError):
            os.rename(self._path, aside)
            moved = aside.stat()
            if moved.st_size or moved.st_ino != about.st_ino:
                os.link(aside, self._path)  # back, unless there is a newer one
        aside.unlink(missing_ok=True)


def _key(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_ino, about.st_mtime_ns, about.st_ctime_ns


@dataclass(frozen=True)
class Holder:
    """Who holds a claim, and whether it still lives."""

    host: str
    pid: int
    alive: bool


def holder(path: Path) -> Holder | None:
    """The process that made the claim ``path``; None if there is no claim."""
    try:
        said = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        silent = time.time() - path.stat().st_mtime
        host, pid = said["host"], int(said["pid"])
    except (OSError, ValueError, KeyError):
        return None
    alive = silent < LEASE
    if alive and host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            alive = False
        except PermissionError:
            pass
    return Holder(host, pid, alive)
