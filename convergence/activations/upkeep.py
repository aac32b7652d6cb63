"""What lies in the cache, and what of it may go."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from convergence.activations import readers
from convergence.activations.cache import ABOUT, INDEX, LOCK, Entry
from convergence.system.claims import holder

_KINDS = ("activations", "pixels", "networks")
_USED = 600.0  # seconds after its last reading in which an entry counts as in use
_LEFT_BEHIND = 3600.0  # seconds after which a temporary file has no writer
_GOING = ".removed-"  # how the name of an entry begins that is being removed


@dataclass(frozen=True)
class Item:
    """An entry of the cache: a network's responses, decoded images, or a trained network with its checkpoints."""

    folder: Path
    kind: str
    model: str
    about: str
    bytes: int
    used: float

    @property
    def in_use(self) -> bool:
        """Whether a process writes or reads it, or did so a moment ago."""
        claim = holder(self.folder / LOCK)
        if (claim is not None and claim.alive) or readers.in_use(self.folder):
            return True
        return self.kind != "networks" and time.time() - self.used < _USED


def items(cache: Path) -> list[Item]:
    """All entries, the least recently used first."""
    found = [_item(folder, kind) for kind in _KINDS for folder in _folders(cache / kind)]
    return sorted((item for item in found if item is not None), key=lambda item: item.used)


def prune(
    cache: Path,
    *,
    model: str | None = None,
    older: float | None = None,
    keep: float | None = None,
    networks: bool = False,
    dry: bool = False,
) -> list[Item]:
    """Remove entries and what killed writers left behind; returns the entries. What is in use stays.

    Parameters
    ----------
    model : pattern (shell style) of the models' names; decoded images go by the name pixels.
    older : seconds since the last use.
    keep : bytes that may stay: the least recently used go first.
    networks : trained networks as well; they take longest to make again.
    dry : remove nothing.
    """
    offered = [i for i in items(cache) if (networks or i.kind != "networks") and fnmatch(i.model, model or "*")]
    now = time.time()
    chosen = [i for i in offered if (older is None or now - i.used > older) and not i.in_use]
    if keep is not None:
        chosen = list(_beyond(chosen, sum(i.bytes for i in offered) - keep))
    if dry:
        return chosen
    _remove_rests(cache)
    return [item for item in chosen if _removed(item)]


def _beyond(found: list[Item], excess: float) -> Iterator[Item]:
    for item in found:
        if excess <= 0:
            return
        excess -= item.bytes
        yield item


def _removed(item: Item) -> bool:
    """Take the entry aside, look again whether somebody began to read it meanwhile, and only then remove it."""
    aside = item.folder.with_name(f"{_GOING}{item.folder.name}-{uuid.uuid4().hex[:8]}")
    with suppress(OSError):
        item.folder.rename(aside)
        claim = holder(aside / LOCK)
        if readers.in_use(item.folder) or (claim is not None and claim.alive):
            aside.rename(item.folder)  # unless it was made anew
            return False
    shutil.rmtree(aside, ignore_errors=True)
    return not item.folder.exists()


def _remove_rests(cache: Path) -> None:
    """What processes left behind that were killed: temporary files, entries half removed, signs of life."""
    for path in cache.rglob(".*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFT_BEHIND:
                path.unlink()
    for kind in _KINDS:
        for folder in (cache / kind).glob(f"{_GOING}*"):
            shutil.rmtree(folder, ignore_errors=True)
    readers.forget_dead(cache)


def _folders(place: Path) -> list[Path]:
    return [p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")] if place.is_dir() else []


def _item(folder: Path, kind: str) -> Item | None:
    """None if it was removed just now."""
    stats = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):  # a temporary file that has its name by now
            stats.append(path.stat())
    size, used = sum(s.st_size for s in stats), max((s.st_mtime for s in stats), default=0.0)
    if kind == "networks":
        return Item(folder, kind, folder.name.split("-")[0], folder.name, size, used)
    if kind == "pixels":
        return Item(folder, kind, kind, _images(folder), size, used)
    index = Entry(folder).index()
    if index is None:
        return Item(folder, kind, "unfinished", folder.name, size, used)
    about = index["about"]
    with suppress(OSError):
        used = (folder / INDEX).stat().st_mtime
    return Item(folder, kind, about["model"], f"{about['model']} {about['weights']} on {about['stimuli']}", size, used)


def _images(folder: Path) -> str:
    """Which decoded images lie there, as far as the entry says."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        return f"decoded images of {about['stimuli']}, {about['geometry']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"decoded images {folder.name[:8]}"
