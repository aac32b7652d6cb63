"""Recorded responses to the stimuli of a run, as a Representation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

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
        self._places = list(found.values())
        self._recording = recording
        self.layers = {name: layer.shape[-1] for name, layer in recording.layers.items()}
        self.positions = dict.fromkeys(self.layers, 1)
        self._means: dict[str, Tensor] = {}

    @cached_property
    def reliability(self) -> dict[str, Tensor]:
        repeated = {name: a for name, a in self._recording.responses.items() if a.ndim == 3}
        return {name: reliability(torch.from_numpy(array[:, self._places])) for name, array in repeated.items()}

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1."""
        return {name: self._mean(name)[start:stop] for name in names}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli."""
        return self._mean(name)[:, start:stop]

    def _mean(self, name: str) -> Tensor:
        if name not in self._means:
            array = self._recording.responses[name]
            mean = array.mean(axis=0, dtype=float).astype(array.dtype, copy=False) if array.ndim == 3 else array
            self._means[name] = torch.from_numpy(mean[self._places])
        return self._means[name]
