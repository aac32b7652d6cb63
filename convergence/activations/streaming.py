"""Responses too large to keep: a network that answers when it is read, so that no more than a batch is ever there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convergence.activations.cache import ANSWER
from convergence.activations.forward import forward, on_device
from convergence.activations.loading import Loader
from convergence.alignment import units


class Streamed:
    """One network's responses to one set of stimuli, as a Representation: every pass over them is a forward pass."""

    def __init__(self, network: Any, loader: Loader) -> None:
        self._network, self._loader = network, loader
        self._model = on_device(network, loader.device)
        sizes = {name: units.size(layer.shape, layer.units) for name, layer in network.layers.items()}
        self.positions = {name: positions for name, (positions, _) in sizes.items()}
        self.layers = {name: width for name, (_, width) in sizes.items()}
        self.ids: tuple[str, ...] = loader.stimuli.ids
        self.rows = len(self.ids)
        self._answers = torch.full((self.rows,), -1)

    @property
    def accuracy(self) -> float | None:
        """Of all stimuli, once they have been read and where the answers are understood."""
        if bool((self._answers < 0).any()):
            return None
        return float((self._answers == self._loader.stimuli.labels).double().mean())

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        """Responses to stimuli start … stop - 1: (n, N), or (n, P, N) with P positions, on the device."""
        stop = min(stop, self.rows)
        parts = list(forward(self._network, self._model, self._loader, [range(start, stop)], names))
        found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if ANSWER in found:
            self._answers[start:stop] = found.pop(ANSWER)[:, 0].cpu()
        return found

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        """Responses of units start … stop - 1 of a layer to all stimuli: a pass of its own."""
        return self.read([name], 0, self.rows)[name][:, start:stop]
