"""What the readers of all formats share: arrays by name, and the ids of the stimuli."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convergence.system.errors import UserError

# How a file may call the ids of its stimuli, best first.
ID_NAMES = ("stimulus_ids", "stimulus_id", "image_ids", "image_id")


@dataclass
class Raw:
    """The content of a file, as it lies there.

    Attributes
    ----------
    arrays : by layer or area, (M, N) or (R, M, N) in files that are right.
    ids : of the M stimuli; None if the file has none.
    named : all ids of the file, each with its name.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    ids: list[str] | None = None
    named: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, name: str, value: Any) -> None:
        """A variable of the file: ids by their name, else a layer."""
        if _name(name) in ID_NAMES:
            self.named.append((name, as_ids(value)))
        else:
            self.arrays[name] = value


def one_order(named: Sequence[tuple[str, list[str]]], path: Path) -> list[str] | None:
    """The ids of a file that may hold several, in whatever format: those of the best name in each of its groups.

    Raises
    ------
    UserError
        If these differ between groups, or where two go by one name: which array they belong to is not known.
    """
    best: list[tuple[str, list[str]]] = []
    for group in dict.fromkeys(_group(name) for name, _ in named):
        here = [(name, ids) for name, ids in named if _group(name) == group]
        first = min((_name(name) for name, _ in here), key=ID_NAMES.index)
        best += [(name, ids) for name, ids in here if _name(name) == first]
    for name, ids in best[1:]:
        if ids != best[0][1]:
            raise UserError(
                f"{path} holds ids that differ ('{best[0][0]}' and '{name}'), and a file has one order of stimuli: "
                "save what has another order in a file of its own, or bring all arrays into one."
            )
    return best[0][1] if best else None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _group(path: str) -> str:
    return path.rpartition("/")[0]


def as_ids(values: Iterable[Any]) -> list[str]:
    """Text, bytes or whole numbers (MATLAB's are doubles) as text."""
    return [_text(value) for value in np.asarray(values).ravel().tolist()]


def _text(value: Any) -> str:
    while isinstance(value, np.ndarray | list) and len(value) == 1:  # a cell of MATLAB's
        value = value[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def needs(package: str, what: str) -> UserError:
    """The sentence where an extra package is not installed."""
    return UserError(f"{what} needs {package}: install it with `pip install {package}`, or save the arrays as .npz.")
