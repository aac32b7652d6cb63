"""What a recording has to be, checked before any work: numbers, in two or three axes, of the same stimuli, finite."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from convergence.models.recordings.raw import ID_NAMES, Raw
from convergence.system.errors import UserError

_WANTED = "(stimuli, units) or (repeats, stimuli, units)"


def checked(raw: Raw, path: Path) -> dict[str, np.ndarray]:
    """The arrays as floats, (M, N) or (R, M, N) with two repeats or more.

    Raises
    ------
    UserError
        Naming the file, and the area and the stimulus where it is these.
    """
    if not raw.arrays:
        raise UserError(f"{path} holds no responses: save one array of {_WANTED} per layer or area.")
    if raw.ids is not None:
        twice = [one for one, count in Counter(raw.ids).items() if count > 1]
        if twice:
            raise UserError(
                f"{path}: stimulus id '{twice[0]}' stands there twice: give each stimulus once, and repeats as an "
                "axis of their own, (repeats, stimuli, units)."
            )
    return {name: _array(name, array, raw, path) for name, array in _of_one_length(raw, path).items()}


def _of_one_length(raw: Raw, path: Path) -> dict[str, np.ndarray]:
    """Refuse arrays of other axes, and of different numbers of stimuli."""
    for name, array in raw.arrays.items():
        if array.dtype.kind not in "biuf":
            what = "complex numbers" if array.dtype.kind == "c" else "no numbers"
            ids = f", or call it {ID_NAMES[0]} if it tells the stimuli" if array.dtype.kind in "US" else ""
            raise UserError(f"{path}: '{name}' holds {what} (type {array.dtype}): leave it out by model.layers{ids}.")
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise UserError(
                f"{path}: '{name}' has the shape {array.shape}, not {_WANTED}: reshape it, or leave it out by "
                "model.layers."
            )
    counts = {name: array.shape[-2] for name, array in raw.arrays.items()}
    if raw.ids is not None:
        for name, count in counts.items():
            if count != len(raw.ids):
                raise UserError(
                    f"{path}: '{name}' has the shape {raw.arrays[name].shape}, so {count} stimuli, and there are "
                    f"{len(raw.ids)} {ID_NAMES[0]}: the stimuli are the last axis but one, as in {_WANTED}."
                )
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UserError(f"{path}: the arrays differ in their numbers of stimuli ({told}): all must be of the same.")
    return raw.arrays


def _array(name: str, array: np.ndarray, raw: Raw, path: Path) -> np.ndarray:
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    array = array.astype(np.float64 if array.dtype in (np.float64, np.int64) else np.float32, copy=False)
    bad = ~np.isfinite(array)
    if bad.any():
        *repeat, row, unit = (int(i) for i in np.argwhere(bad)[0])
        which = f" ('{raw.ids[row]}')" if raw.ids is not None else ""
        when = f", repeat {repeat[0]}" if repeat else ""
        raise UserError(
            f"{path}: '{name}' is not finite at stimulus {row}{which}{when}, unit {unit} (counted from 0), and at "
            f"{int(bad.sum()):,} of {bad.size:,} places in all: leave out the stimuli or the units that were not "
            "recorded."
        )
    return array
