"""Files that are whole or not there: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from convergence.system.errors import UserError

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


def state_of(path: Path) -> tuple[int, ...] | None:
    """Size, time and place of a file: another if it was written again; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


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
