"""Responses that lie in memory, as a Representation; and what becomes of those that are not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from convergence.alignment import inputs
from convergence.alignment.units import reduce
from convergence.system.errors import UserError


class Arrays:
    """Responses that lie in memory, as a Representation.

    Parameters
    ----------
    responses : a mapping from layer name to array or tensor, (M, N), or maps and tokens that ``units`` reduces; or one
        array. Never written to.
    side : ``x`` or ``y``, for messages.

    Raises
    ------
    UserError
        Naming the layer that is not of real numbers, or has another number of stimuli than the first.
    """

    def __init__(self, responses: Any, side: str, units: str = "center") -> None:
        self.side = side
        self._hold({name: reduce(tensor, units) for name, tensor in inputs.layers(responses, side).items()})

    def _hold(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self.layers = {name: t.shape[-1] for name, t in tensors.items()}
        self.positions = {name: t.shape[1] if t.ndim == 3 else 1 for name, t in tensors.items()}
        rows = {name: len(t) for name, t in tensors.items()}
        first = next(iter(rows))
        for name, n in rows.items():
            if n != rows[first]:
                raise UserError(
                    f"layer '{name}' of {self.side} has {n} rows and '{first}' has {rows[first]}: "
                    "all layers must see the same stimuli."
                )
        self.rows = rows[first]

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Tensor]:
        return {name: self._tensors[name][start:stop] for name in names}

    def columns(self, name: str, start: int, stop: int) -> Tensor:
        return self._tensors[name][:, start:stop]

    def finite_stimuli(self) -> Tensor:
        """(M,) bool: the stimuli to which every unit of every layer has a finite response."""
        found = [t.isfinite().reshape(len(t), -1).all(dim=1).cpu() for t in self._tensors.values()]
        return torch.stack(found).all(dim=0)

    def of_stimuli(self, kept: Tensor) -> Self:
        """The same layers, of the stimuli that ``kept`` (M,) marks."""
        self._hold({name: t[kept.to(t.device)] for name, t in self._tensors.items()})
        return self

    def without_units(self) -> dict[str, int]:
        """Silence each unit that has a response that is not finite, so that it counts as dead; how many, by layer.

        Raises
        ------
        UserError
            If that silences all units of a layer.
        """
        dropped = {}
        for name, t in self._tensors.items():
            bad = ~t.isfinite().reshape(-1, t.shape[-1]).all(dim=0)
            if bool(bad.all()):
                raise UserError(
                    f"layer '{name}' of {self.side} has no unit without a NaN or infinity: mend its responses, or drop "
                    'the stimuli (on_nan="drop_stimuli").'
                )
            if count := int(bad.sum()):
                dropped[name] = count
                self._tensors[name] = t.masked_fill(bad, 0.0)
        return dropped


def drop(x: Arrays, y: Arrays, rule: str) -> dict[str, Any]:
    """Apply ``on_nan`` to both sides alike; what was dropped, for ``DataFrame.attrs``."""
    if rule == "raise":
        return {}
    if rule == "drop_units":
        dropped: Mapping[str, dict[str, int]] = {side.side: side.without_units() for side in (x, y)}
        return {"dropped_units": dict(dropped)}
    if x.rows != y.rows:
        return {}  # scoring says so
    kept = x.finite_stimuli() & y.finite_stimuli()
    if not bool(kept.any()):
        raise UserError('no stimulus is without a NaN or infinity: mend the responses, or give on_nan="drop_units".')
    if not bool(kept.all()):
        x.of_stimuli(kept), y.of_stimuli(kept)
    return {"dropped_stimuli": int((~kept).sum())}
