"""Responses that lie in memory, as a Representation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convergence.alignment.units import reduce
from convergence.system.errors import UserError

Array = Any  # numpy array or torch tensor


class Arrays:
    """Responses that lie in memory, as a Representation."""

    def __init__(self, responses: Mapping[str, Array], side: str, units: str = "center") -> None:
        if not responses:
            raise UserError(f"{side} has no layers: give a mapping from layer name to an (M, N) array.")
        self._tensors: dict[str, Tensor] = {}
        for name, values in responses.items():
            tensor = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
            if tensor.is_complex() or tensor.ndim not in (2, 3, 4) or 0 in tensor.shape:
                raise UserError(
                    f"layer '{name}' of {side} has shape {tuple(tensor.shape)} and type {tensor.dtype}: "
                    "give (M, N) or (M, C, H, W) real numbers."
                )
            self._tensors[name] = tensor if tensor.ndim == 2 else reduce(tensor, units)
        self.layers = {name: t.shape[-1] for name, t in self._tensors.items()}
        self.positions = {name: t.shape[1] if t.ndim == 3 else 1 for name, t in self._tensors.items()}
        rows = {name: len(t) for name, t in self._tensors.items()}
        first = next(iter(rows))
        for name, n in rows.items():
            if n != rows[first]:
                raise UserError(
                    f"layer '{name}' of {side} has {n} rows and '{first}' has {rows[first]}: "
                    "all layers must see the same stimuli."
                )
        self.rows = rows[first]

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        return {name: self._tensors[name][start:stop] for name in names}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        return self._tensors[name][:, start:stop]
