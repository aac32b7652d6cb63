"""The responses to one fold's stimuli, for the measures that need more of them than second moments."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from convergence.alignment.moments.accumulate import Representation, check_finite

# As in splits: a unit whose spread is below this share of its level is constant but for float32 rounding.
_CONSTANT = 1e-6


def held_out(
    side: Representation, names: Iterable[str], fold: Tensor, k: int, *, device: torch.device, chunk: int
) -> dict[str, Tensor]:
    """(n, N) float64 responses of each layer to the stimuli of fold ``k``; (n·P, N) with P positions.

    Units that are constant on these stimuli are left out. The stimuli are read ``chunk`` at a time.

    Raises
    ------
    UserError
        If a response is NaN or infinite, naming the layer and the row.
    """
    names = list(dict.fromkeys(names))
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for start in range(0, len(fold), chunk):
        mine = (fold[start : start + chunk] == k).nonzero()[:, 0]
        for name, values in side.read(names, start, start + chunk).items():
            taken = values[mine].to(device, torch.float64)
            if not bool(torch.isfinite(taken.sum())):
                check_finite(name, values, start)
            parts[name].append(taken.flatten(0, -2))
    return {name: _varying(torch.cat(parts.pop(name))) for name in names}


def _varying(responses: Tensor) -> Tensor:
    mean = responses.mean(dim=0)
    varies = (responses - mean).square().mean(dim=0) > _CONSTANT**2 * mean.square()
    return responses if bool(varies.all()) else responses[:, varies]
