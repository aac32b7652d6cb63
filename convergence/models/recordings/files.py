"""Which files ``model.files`` names, and what each is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from convergence.models.options import ArraysConfig
from convergence.system.errors import UserError


def files_of(config: ArraysConfig) -> dict[str, Path]:
    """Path by name: the user's, else the end of the path that tells it from the others, without its ending.

    Raises
    ------
    UserError
        If none is named, one is missing, or is named twice.
    """
    given: Any = config.files
    if isinstance(given, Mapping):
        return {str(name): _there(path) for name, path in given.items()}
    listed = [given] if isinstance(given, str | Path) else list(given or [])
    if not listed:
        raise UserError('recorded responses need their files: "model.files=[monkey1.npz,monkey2.npz]".')
    paths = [path for one in listed for path in _expanded(str(one))]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise UserError(f"model.files names {twice[0]} twice: name each recording once.")
    return dict(zip(_names(paths), paths, strict=True))


def contents(path: Path) -> list[Path]:
    """The files that a recording lies in: itself, or those of its folder."""
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _expanded(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.exists() or not has_magic(text):
        return [_there(text)]
    found = sorted(Path(p) for p in glob(str(path)))
    if not found:
        raise UserError(f"model.files={text}: no file goes by this pattern.")
    return found


def _there(text: Any) -> Path:
    path = Path(str(text)).expanduser()
    if not path.exists():
        raise UserError(f"model.files={text}: there is no such file or folder.")
    return path


def _names(paths: list[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [path.absolute().with_suffix("").parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]  # they differ in their endings alone
