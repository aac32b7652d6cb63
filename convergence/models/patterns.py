"""The user's checkpoint files, and which training run and point of training each is of.

``runs/seed_{seed}/epoch_{epoch}.pth`` stands for all files of that shape: ``{seed}`` tells the run, ``{epoch}`` (epochs
done, 0 before training) or ``{step}`` the point of training. ``{seed=3}`` stands for that seed alone. Without them,
``runs/*.pth`` stands for files that are a training run each; beside them, ``*`` stands for any text.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from convergence.system.errors import UserError

_PLACES = {"seed": r"\d+", "epoch": r"\d+(?:\.\d+)?", "step": r"\d+"}
PACKAGE = "package:"
_FIELD = re.compile(r"\{(\w*)(?:=(\d+))?\}")


@dataclass(frozen=True)
class File:
    """One checkpoint: epochs and steps done, where its name tells them."""

    path: Path
    seed: int | None = None
    epoch: float | None = None
    step: int | None = None


@dataclass(frozen=True)
class Run:
    """One training run: its checkpoints in order of training."""

    name: str
    seed: int | None
    files: tuple[File, ...]


def listed(checkpoints: Any) -> list[str]:
    """The patterns and paths of ``model.checkpoints``: null, one, or a list; ``package:NAME/FILE`` as a path.

    Of shell patterns without placeholders, the files are listed, by the numbers in their names.

    Raises
    ------
    UserError
        If it is neither, no file goes by a shell pattern, or the Python package is not installed.
    """
    if checkpoints is None:
        return []
    found = [checkpoints] if isinstance(checkpoints, str) else checkpoints
    if not isinstance(found, list | tuple) or not all(isinstance(p, str) for p in found):
        raise UserError(f"model.checkpoints={checkpoints!r} is neither a path nor a list of paths: give one of these.")
    return [path for p in found for path in _expanded(_in_package(p) if p.startswith(PACKAGE) else p)]


def _expanded(pattern: str) -> list[str]:
    if _FIELD.search(pattern) or not glob.has_magic(pattern) or Path(pattern).exists():
        return [pattern]
    found = glob.glob(pattern) or glob.glob(_but_brackets(pattern))
    if not found:
        raise _none_like(pattern, re.split(r"[*?[]", pattern)[0])
    return sorted(found, key=_by_number)


def _by_number(path: str) -> list[Any]:
    """seed2 before seed10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", path))]


def _but_brackets(text: str) -> str:
    """A pattern in which ``*`` and ``?`` alone have a meaning."""
    return glob.escape(text).replace("[*]", "*").replace("[?]", "?")


def _none_like(pattern: str, begins: str) -> UserError:
    folder = Path(begins + "*").parent
    there = sorted(p.name for p in folder.iterdir())[:3] if folder.is_dir() else []
    what = f"it holds {', '.join(there)} …" if there else "it does not exist, or is empty"
    return UserError(f"model.checkpoints: no file looks like {pattern}; the search began in {folder}: {what}.")


def _in_package(place: str) -> str:
    name, _, inner = place.removeprefix(PACKAGE).partition("/")
    spec = find_spec(name) if name.isidentifier() else None  # a dotted name would be imported
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"model.checkpoints={place}: there is no Python package {name} here: pip install {name.replace('_', '-')}."
        )
    return str(Path(spec.submodule_search_locations[0]) / inner)


def runs(patterns: Sequence[str]) -> list[Run]:
    """The training runs of all patterns; a path without placeholders is a run of one checkpoint.

    Raises
    ------
    UserError
        If a placeholder is unknown, no file matches, or two files stand at one point.
    """
    names = [Path(p).name for p in patterns]
    found: list[Run] = []
    for pattern in patterns:
        if not _FIELD.search(pattern):
            name = Path(pattern).name
            found.append(Run(name if names.count(name) == 1 else pattern, None, (File(Path(pattern)),)))
            continue
        matches = files(pattern)
        for seed in sorted({f.seed for f in matches}, key=lambda s: -1 if s is None else s):
            mine = sorted((f for f in matches if f.seed == seed), key=_point)
            for a, b in pairwise(mine):
                if _point(a) == _point(b):
                    raise UserError(f"{a.path} and {b.path} are of one seed and one point of training: remove one.")
            found.append(Run(pattern if seed is None else f"seed{seed}", seed, tuple(mine)))
    if len({run.name for run in found}) < len(found):
        raise UserError("model.checkpoints gives one seed or file twice: name each training run once.")
    return found


def files(pattern: str) -> list[File]:
    """All files of the pattern's shape.

    Raises
    ------
    UserError
        If a placeholder is unknown, or there is no such file.
    """
    parts = _FIELD.split(pattern)
    expression, seen = "", set()
    for i, part in enumerate(parts):
        if i % 3 == 0:
            expression += re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        if i % 3 != 1:
            continue
        if part not in _PLACES:
            known = ", ".join(f"{{{name}}}" for name in _PLACES)
            raise UserError(f"model.checkpoints: {{{part}}} in {pattern} is not known: the placeholders are {known}.")
        only = f"0*{int(parts[i + 1])}" if parts[i + 1] else _PLACES[part]
        expression += f"(?P={part})" if part in seen else f"(?P<{part}>{only})"
        seen.add(part)
    wild = "*".join(map(_but_brackets, parts[::3]))
    found = []
    for path in glob.glob(wild):
        match = re.fullmatch(expression, path)
        if match:
            got = match.groupdict()
            found.append(
                File(
                    Path(path),
                    seed=int(got["seed"]) if "seed" in got else None,
                    epoch=float(got["epoch"]) if "epoch" in got else None,
                    step=int(got["step"]) if "step" in got else None,
                )
            )
    if not found:
        raise _none_like(pattern, re.split(r"[*?]", parts[0])[0])
    return found


def _point(file: File) -> tuple[float, int]:
    return (-1.0 if file.epoch is None else file.epoch, -1 if file.step is None else file.step)
