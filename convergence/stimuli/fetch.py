"""Archives from the network: whole or not there, with nothing outside their folder."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import shutil
import tarfile
import urllib.request
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from convergence.system.claims import only_one
from convergence.system.errors import UserError
from convergence.system.files import explained, write_atomic
from convergence.system.progress import progress

_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 2**20
_log = logging.getLogger("convergence")


def fetch(url: str, folder: Path) -> None:
    """Download a ``.tar.gz`` that holds a folder of the name of ``folder``, and unpack it there.

    The folder appears whole, at the end. Beside it, ``<name>.json`` records the address, the SHA-256 of what came, its
    bytes, and the number of files.

    Raises
    ------
    OSError, http.client.HTTPException
        If the network fails; nothing is left behind.
    UserError
        If the archive is broken, unsafe, or holds something else, or the disk refuses it.
    """
    with only_one(folder.with_name(f".{folder.name}.lock"), f"another run fetches {folder}: waiting for it."):
        if folder.is_dir():
            return
        for left in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        place = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with explained(place):
                place.mkdir()
            archive = place / "archive.tar.gz"
            sha256 = _download(url, archive, folder.name)
            files = unpack(archive, place / "unpacked", url)
            unpacked = place / "unpacked" / folder.name
            if not unpacked.is_dir():
                raise UserError(f"{url} holds no folder {folder.name}: it is not the archive that was expected.")
            about = {"url": url, "sha256": sha256, "bytes": archive.stat().st_size, "files": files}
            write_atomic(_record(folder), lambda path: path.write_text(json.dumps(about, indent=1)))
            with explained(folder):
                unpacked.rename(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    _log.info("%s: %d files, SHA-256 %s (kept in %s).", folder, files, sha256, _record(folder).name)


def _record(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _download(url: str, archive: Path, name: str) -> str:
    sha = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, archive.open("wb") as file:
        expected = int(answer.headers.get("Content-Length") or 0)
        with progress(f"Downloading {name}", -(-expected // _BLOCK), "MiB") as advance:
            while block := read_block(answer, _BLOCK):
                sha.update(block)
                with explained(archive):
                    file.write(block)
                advance(1)
        if expected and file.tell() != expected:
            raise http.client.IncompleteRead(b"", expected - file.tell())
    return sha.hexdigest()


def read_block(answer: http.client.HTTPResponse, size: int) -> bytes:
    """Exactly so many bytes, but at the end: a socket gives what it has."""
    parts = []
    while size and (part := answer.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def unpack(archive: Path, folder: Path, name: str) -> int:
    """Unpack plain files and folders alone; the number of files.

    Parameters
    ----------
    name : what the archive is called in messages.

    Raises
    ------
    UserError
        If a member would lie outside the folder, is a link or a device, or the archive is broken.
    """
    files = 0
    try:
        with explained(folder), tarfile.open(archive, "r:gz") as tar:
            # Beside our own look at each member: it makes modes and owners harmless. Before 3.11.4 there is none.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            folder.mkdir(parents=True, exist_ok=True)
            for member in tar:
                _refuse_unsafe(member, name)
                tar.extract(member, folder)
                files += member.isfile()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{name} is broken ({error}): fetch it again.") from None
    return files


def _refuse_unsafe(member: tarfile.TarInfo, name: str) -> None:
    windows = PureWindowsPath(member.name)
    kinds: dict[str, Callable[[], bool]] = {
        "has an absolute path": lambda: PurePosixPath(member.name).is_absolute() or bool(windows.drive or windows.root),
        "lies outside the archive's folder": lambda: ".." in windows.parts,
        "is a link": lambda: member.issym() or member.islnk(),
        "is neither a file nor a folder": lambda: not (member.isfile() or member.isdir()),
    }
    for what, holds in kinds.items():
        if holds():
            raise UserError(f"{name} is not unpacked: its member {member.name} {what}, and such archives are unsafe.")
