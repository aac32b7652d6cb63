"""Files that are whole or not there: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from convergence.errors import UserError

LEASE = 60.0  # seconds without a sign of life after which a claim is void; beyond NFS's own caching of times
_LOOK = 2.0  # seconds between two looks at whether a claim's holder still lives
_POLL = 0.2
_PROBE = 2**20
_REASONS = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your disk quota is used up: free some space",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "permission is denied: choose another folder",
    errno.EPERM: "permission is denied: choose another folder",
    errno.ENOENT: "no folder can be made there: choose another one",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EEXIST: "a file of that name is in the way: choose another folder",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise UserError(
            f"{path} could not be written, {_REASONS[error.errno]} (output=… and cache=…) and give the same command "
            "again; what is done is kept."
        ) from error


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a temporary file beside ``path``, then give it its name. Last writer wins, never a half file.

    ``write`` should leave the writing to Python: what the disk refuses is told by OSError, and libraries that write on
    their own hide it behind errors of theirs.

    Raises
    ------
    UserError
        If the disk is full or the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _written(write, temporary)
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _written(write: Callable[[Path], object], path: Path) -> None:
    """``write(path)``; libraries that tell a full disk in words of their own are made to tell it as the system does."""
    try:
        write(path)
    except OSError:
        raise
    except Exception:
        with open(path, "ab") as handle:
            handle.write(bytes(_PROBE))
            handle.flush()
            os.fsync(handle.fileno())
        raise


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
