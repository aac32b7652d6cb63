"""What the readers of all formats share: arrays by name, and the ids of the stimuli."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    ids: list[str] | None = None

    def add(self, name: str, value: np.ndarray) -> None:
        """A variable of the file: the ids by their name, else a layer.

        Raises
        ------
        ValueError
            If the file has other ids too: which array they belong to is not known.
        """
        if name.rsplit("/", 1)[-1] in ID_NAMES:
            ids = as_ids(value)
            if self.ids not in (None, ids):
                raise ValueError("it holds ids that differ, and there is room for one order of stimuli in a file")
            self.ids = ids
        else:
            self.arrays[name] = value


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
