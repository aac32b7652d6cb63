"""The commands that keep the cache in hand: what is there, and what may go."""

from __future__ import annotations

import argparse
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from convergence.system.claims import holder
from convergence.system.errors import UserError
from convergence.system.terminal import show

_ABOUT = """\
  folder=outputs/.cache   the cache
  model=PATTERN           of these models only (resnet*)
  older=30d               not used for so long (d, h or min)
  keep=20GB               the most recently used, as many as fit
  networks=true           trained networks too, not activations alone

prune needs one of model, older, keep. What is in use stays.
"""
_USED = 600.0  # seconds after its last reading in which an entry counts as in use
_LEFT_BEHIND = 3600.0  # seconds after which a temporary file has no writer
_TIMES = {"min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@dataclass(frozen=True)
class Item:
    """An entry of the cache: one network's responses, or one trained network with its checkpoints."""

    folder: Path
    kind: str
    model: str
    about: str
    bytes: int
    used: float

    @property
    def in_use(self) -> bool:
        claim = holder(self.folder / "lock")
        return (claim is not None and claim.alive) or (self.kind == "activations" and time.time() - self.used < _USED)


def items(cache: Path) -> list[Item]:
    """All entries, the least recently used first."""
    found = [_item(f, kind) for kind in ("activations", "networks") for f in _folders(cache / kind)]
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
    offered = [i for i in items(cache) if (networks or i.kind == "activations") and fnmatch(i.model, model or "*")]
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
    size = sum(s.st_size for s in stats)
    if kind == "networks":
        return Item(
            folder, kind, folder.name.split("-")[0], folder.name, size, max((s.st_mtime for s in stats), default=0)
        )
    from convergence.activations.cache import INDEX, Entry

    index = Entry(folder).index()
    if index is None:
        return Item(folder, kind, "unfinished", folder.name, size, max((s.st_mtime for s in stats), default=0))
    about = index["about"]
    used = (folder / INDEX).stat().st_mtime
    return Item(folder, kind, about["model"], f"{about['model']} {about['weights']} on {about['stimuli']}", size, used)


# ---------------------------------------------------------------- the command


def add(commands: Any) -> None:
    """Declare ``cache``."""
    parser = commands.add_parser(
        "cache",
        help="list|prune: what fills the disk, and what may go",
        usage="convergence cache list|prune [option=value …] [--dry-run]",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="list|prune")
    parser.add_argument("options", nargs="*", metavar="option=value")
    parser.add_argument("--dry-run", action="store_true", help="of prune: what would be removed")
    parser.set_defaults(call=lambda options: cache(options.what, options.options, options.dry_run))


def cache(what: str, words: Sequence[str], dry: bool = False) -> int:
    """List or prune; returns the exit status.

    Raises
    ------
    UserError
        If an option is not understood, or prune is given nothing to go by.
    """
    if what not in ("list", "prune"):
        raise UserError(f"cache {what} is not known: give cache list, or cache prune.")
    given = _options(words)
    folder = Path(given.pop("folder", "outputs/.cache")).expanduser()
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name the cache with folder=….")
    if what == "list":
        found = [i for i in items(folder) if fnmatch(i.model, given.get("model", "*"))]
        _print(found)
        print(f"{_size(sum(i.bytes for i in found))} in {len(found)} entries of {folder}")
        return 0
    if not set(given) & {"model", "older", "keep"}:
        raise UserError("cache prune needs something to go by: model=…, older=… or keep=… (see cache --help).")
    gone = prune(
        folder,
        model=given.get("model"),
        older=_amount(given, "older", _TIMES),
        keep=_amount(given, "keep", _SIZES),
        networks=given.get("networks", "").lower() == "true",
        dry=dry,
    )
    _print(gone)
    verb = "would be removed" if dry else "removed"
    print(f"{_size(sum(i.bytes for i in gone))} in {len(gone)} entries {verb}")
    return 0


def _options(words: Sequence[str]) -> dict[str, str]:
    given = {}
    for word in words:
        name, equal, value = word.partition("=")
        if not equal or name not in ("folder", "model", "older", "keep", "networks"):
            raise UserError(f"cache: '{word}' is no option; they are folder=, model=, older=, keep= and networks=.")
        given[name] = value
    return given


def _amount(given: dict[str, str], name: str, units: dict[str, float]) -> float | None:
    if name not in given:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", given[name])
    if match is None or match[2] not in units:
        raise UserError(f"cache: {name}={given[name]} is no amount: give a number with {', '.join(units)}.")
    return float(match[1]) * units[match[2]]


def _print(found: Sequence[Item]) -> None:
    if found:
        rows = [[_size(i.bytes), _age(i.used), i.kind, i.about, "in use" if i.in_use else ""] for i in found]
        show(rows, heads=("size", "last used", "kind", "of", ""), right=(0, 1), folded=3)


def _age(used: float) -> str:
    age = time.time() - used
    unit = "d" if age >= 86400 else "h" if age >= 3600 else "min"
    return f"{age / _TIMES[unit]:.0f} {unit} ago"


def _size(count: float) -> str:
    unit = next((u for u in ("TB", "GB", "MB") if count >= _SIZES[u]), "kB")
    return f"{count / _SIZES[unit]:.1f} {unit}"
