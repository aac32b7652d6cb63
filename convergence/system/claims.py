"""Claims: who works on what, so that no two processes do the same work."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from convergence.system.files import explained

LEASE = 60.0  # seconds without a sign of life after which a claim is void; beyond NFS's own caching of times
_LOOK = 2.0  # seconds between two looks at whether a claim's holder still lives
_POLL = 0.2


@contextmanager
def only_one(path: Path, waiting: str) -> Iterator[None]:
    """Hold a claim that saves double work, and nothing else rests on it: what is written is right without.

    A second process logs ``waiting`` and waits. The claim is a file that its holder touches while it lives: it works
    where ``flock`` does not (NFS), and one that is left behind by a killed process falls to the next, at once on the
    same host, after ``LEASE`` seconds on another.
    """
    from filelock import SoftFileLease, Timeout

    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        claim = SoftFileLease(path, lease_duration=LEASE, poll_interval=_POLL)
        try:
            claim.acquire(timeout=0)
        except Timeout:
            if waiting:
                logging.getLogger("convergence").warning(waiting)
            while True:
                try:
                    claim.acquire(timeout=_LOOK)
                    break
                except Timeout:
                    if _left_behind(path):
                        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        claim.release()


def _left_behind(path: Path) -> bool:
    """Whether a killed process left the claim: its holder is dead, or died before it could write its name."""
    held = holder(path)
    if held is not None:
        return not held.alive
    try:
        return time.time() - path.stat().st_mtime > _LOOK
    except OSError:
        return False


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
