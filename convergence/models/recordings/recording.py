"""A recording as a network that has answered already: its areas are the layers, in the order of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from convergence.models.layers import Layer
from convergence.models.network import Network
from convergence.models.options import ArraysConfig, Units
from convergence.models.preprocess import Preprocess
from convergence.models.recordings import checks, readers
from convergence.models.recordings.files import contents, files_of
from convergence.stimuli.base import Stimuli
from convergence.system.errors import UserError

_KEPT = 8  # recordings in memory, for the pairs of a population


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording(Network):
    """Responses that were recorded, to stimuli known by their ids.

    Attributes
    ----------
    ids : of the M stimuli; None where the file has none.
    responses : by area, (M, N) or (R, M, N) with R repeats, all finite.
    """

    ids: tuple[str, ...] | None
    responses: Mapping[str, np.ndarray]

    @property
    def rows(self) -> int:
        """Number of stimuli."""
        return next(iter(self.responses.values())).shape[-2]

    @property
    def depths(self) -> dict[str, float]:
        """An area has a name, and no depth."""
        return dict.fromkeys(self.layers, float("nan"))


def recordings(config: ArraysConfig) -> list[Recording]:
    """One for each of ``config.files``, read and checked.

    Raises
    ------
    UserError
        If a file is missing, not understood, or holds what can't be scored: which area and which stimulus.
    """
    if config.units is not None or config.image_size is not None:
        what = "units" if config.units is not None else "image_size"
        raise UserError(f"model.{what} has no meaning for recorded responses (model=arrays): leave it out.")
    beside = Path(config.stimulus_ids).expanduser() if config.stimulus_ids else None
    if beside is not None and not beside.is_file():
        raise UserError(f"model.stimulus_ids={config.stimulus_ids}: there is no such file.")
    patterns = tuple(config.layers) if config.layers else None
    return [
        _read(config.name, label, path, beside, patterns, tuple(_state(each) for each in (path, beside) if each))
        for label, path in files_of(config).items()
    ]


def _state(path: Path) -> tuple[tuple[int, int], ...]:
    """Changes when a file does."""
    return tuple((s.st_mtime_ns, s.st_size) for s in (p.stat() for p in contents(path)))


@lru_cache(maxsize=_KEPT)
def _read(
    model: str,
    label: str,
    path: Path,
    beside: Path | None,
    patterns: Sequence[str] | None,
    _states: tuple[tuple[tuple[int, int], ...], ...],
) -> Recording:
    raw = readers.read(path)
    if patterns is not None:
        raw.arrays = _chosen(raw.arrays, patterns, path)
    if raw.ids is None and beside is not None:
        raw.ids = readers.ids_in(beside)
    responses = checks.checked(raw, path)
    content = hashlib.sha256()
    for part in contents(path):
        with open(part, "rb") as handle:
            content.update(hashlib.file_digest(handle, "sha256").digest())
    content.update(repr(raw.ids).encode())  # they may lie beside it
    return Recording(
        model=model,
        weights=label,
        seed=None,
        step=None,
        epoch=None,
        weights_hash=content.hexdigest(),
        layers={name: Layer("Recorded", (array.shape[-1],)) for name, array in responses.items()},
        units=Units.center,
        preprocess=_Recorded(),
        classes=None,
        builder=_no_network,
        ids=None if raw.ids is None else tuple(raw.ids),
        responses=responses,
    )


def _chosen(arrays: dict[str, np.ndarray], patterns: Sequence[str], path: Path) -> dict[str, np.ndarray]:
    lost = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in arrays)]
    if lost:
        raise UserError(f"model.layers names '{lost[0]}', which {path} does not have: it has {', '.join(arrays)}.")
    return {name: array for name, array in arrays.items() if any(fnmatchcase(name, p) for p in patterns)}


class _Recorded(Preprocess):
    """Images that were shown elsewhere."""

    def pixels(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        raise AssertionError("no image enters a recording")  # a bug of ours, never a user's

    def geometry(self) -> str:
        return "shown elsewhere"

    def describe(self) -> str:
        return self.geometry()


def _no_network() -> nn.Module:
    raise AssertionError("a recording has no network")  # a bug of ours, never a user's
