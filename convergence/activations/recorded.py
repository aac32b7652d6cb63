"""Recorded responses to the stimuli of a run, as a Representation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convergence.alignment.reliability import reliability
from convergence.models.recordings.matching import matched
from convergence.models.recordings.recording import Recording
from convergence.stimuli.base import Stimuli


class Recorded:
    """One recording's responses, averaged over repeats, in the order of ``stimuli``.

    Attributes
    ----------
    ids, rows, layers, positions, read, columns : as of any Representation.
    reliability : by area, (N,) of the units where there are repeats (:mod:`convergence.alignment.reliability`).
    """

    accuracy = None  # nobody was asked

    def __init__(self, recording: Recording, stimuli: Stimuli) -> None:
        own = recording.ids if recording.ids is not None else tuple(map(str, range(recording.rows)))
        found = matched(stimuli.ids, own)
        self.ids = tuple(stimuli.ids[i] for i in found)
        self.rows = len(self.ids)
        self._places = np.array(list(found.values()), dtype=np.int64)
        self._recording = recording
        self.layers = {name: layer.shape[-1] for name, layer in recording.layers.items()}
        self.positions = dict.fromkeys(self.layers, 1)
        self._means: dict[str, np.ndarray] = {}

    @cached_property
    def reliability(self) -> dict[str, Tensor]:
        repeated = {name: a for name, a in self._recording.responses.items() if a.ndim == 3}
        return {name: reliability(torch.from_numpy(array[:, self._places])) for name, array in repeated.items()}

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1."""
        return {name: torch.from_numpy(self._mean(name)[self._places[start:stop]]) for name in names}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli."""
        return torch.from_numpy(self._mean(name)[self._places, start:stop])

    def _mean(self, name: str) -> np.ndarray:
        """Of all stimuli of the recording, never copied where there are no repeats."""
        array = self._recording.responses[name]
        if array.ndim == 2:
            return array
        if name not in self._means:
            self._means[name] = array.mean(axis=0, dtype=float).astype(array.dtype, copy=False)
        return self._means[name]
