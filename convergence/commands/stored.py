"""What the cache of a run holds on disk, and what of it may go."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from convergence.system.claims import holder

_USED = 600.0  # seconds after its last reading in which an entry counts as in use
_LEFT_BEHIND = 3600.0  # seconds after which a temporary file has no writer
_KINDS = ("activations", "pixels", "networks")  # the folders of the cache


@dataclass(frozen=True)
class Item:
    """An entry of the cache: one network's responses, one data set's decoded images, or one trained network."""

    folder: Path
    kind: str
    model: str
    about: str
    bytes: int
    used: float

    @property
    def in_use(self) -> bool:
        claim = holder(self.folder / "lock")
        return (claim is not None and claim.alive) or (self.kind != "networks" and time.time() - self.used < _USED)


def items(cache: Path) -> list[Item]:
    """All entries, the least recently used first."""
    found = [_item(f, kind) for kind in _KINDS for f in _folders(cache / kind)]
    return sorted(found, key=lambda item: item.used)


def prune(
    cache: Path,
    *,
    model: str | None = None,
    older: float | None = None,
    keep: float | None = None,
    networks: bool = False,
    dry: bool = False,
) -> list[Item]:
    """Remove entries and what killed writers left behind; returns the entries.

    Parameters
    ----------
    model : pattern (shell style) of the models' names.
    older : seconds since the last use.
    keep : bytes that may stay: the least recently used go first.
    networks : trained networks as well; they take longest to make again.
    dry : remove nothing.
    """
    offered = [i for i in items(cache) if (networks or i.kind != "networks") and fnmatch(i.model, model or "*")]
    now = time.time()
    chosen = [i for i in offered if older is None or now - i.used > older]
    if keep is not None:
        excess, small = sum(i.bytes for i in offered) - keep, []
        for item in chosen:
            if excess > 0 and not item.in_use:
                small.append(item)
                excess -= item.bytes
        chosen = small
    chosen = [i for i in chosen if not i.in_use]
    if not dry:
        for item in chosen:
            # The index first: an entry that is half removed is no entry.
            (item.folder / "index.json").unlink(missing_ok=True)
            shutil.rmtree(item.folder, ignore_errors=True)
        for path in cache.rglob(".*.tmp"):
            if now - path.stat().st_mtime > _LEFT_BEHIND:
                path.unlink(missing_ok=True)
    return chosen


def _folders(place: Path) -> list[Path]:
    return [p for p in place.iterdir() if p.is_dir()] if place.is_dir() else []


def _item(folder: Path, kind: str) -> Item:
    stats = [p.stat() for p in folder.iterdir()]
    size, changed = sum(s.st_size for s in stats), max((s.st_mtime for s in stats), default=0.0)
    if kind == "networks":
        return Item(folder, kind, folder.name.split("-")[0], folder.name, size, changed)
    if kind == "pixels":
        return Item(folder, kind, "pixels", f"decoded images {folder.name[:8]}", size, changed)
    from convergence.activations.cache import INDEX, Entry

    index = Entry(folder).index()
    if index is None:
        return Item(folder, kind, "unfinished", folder.name, size, changed)
    about = index["about"]
    used = (folder / INDEX).stat().st_mtime
    return Item(folder, kind, about["model"], f"{about['model']} {about['weights']} on {about['stimuli']}", size, used)
