"""``convergence cache``: what fills the disk, and what may go."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence.system.errors import UserError
from convergence.system.terminal import show

if TYPE_CHECKING:
    from convergence.activations.upkeep import Item

_ABOUT = """\
  folder=outputs/.cache   the cache
  model=PATTERN           of these models only (resnet*)
  older=30d               not used for so long (d, h or min)
  keep=20GB               the most recently used, as many as fit
  networks=true           trained networks too: they take longest to make again

Entries are networks' responses, decoded images (model=pixels) and trained
networks. prune needs one of model, older, keep. What is in use stays.
"""
_TIMES = {"min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


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
    from convergence.activations.upkeep import items, prune

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
