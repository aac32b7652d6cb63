"""Files that are whole or not there: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from convergence.errors import UserError

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
            write(temporary)
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def only_one(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file; a second process says ``waiting`` on stderr and waits. It saves double work only."""
    import logging

    from filelock import FileLock, Timeout

    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logging.getLogger("convergence").warning(waiting)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
