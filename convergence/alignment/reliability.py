"""How well a unit's responses repeat: the ceiling of what any map can predict of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

SPLITS = 20
LEAST = 0.1  # units that repeat less than this are left out of corrected scores
_LOWEST = -0.3  # of a mean r: noise gives no less, and the formula has a pole further down


def reliability(responses: Tensor, *, seed: int = 0) -> Tensor:
    """Split-half reliability ρ of each unit's mean over all repeats.

    Pearson r over stimuli between the means over two random halves of the repeats, averaged over 20 splits, then
    corrected to the mean over all repeats (Spearman 1910; Brown 1910). Of an odd number of repeats, one that is drawn
    anew for each split is in neither half.

    Parameters
    ----------
    responses : (R, M, N), R ≥ 2 repeats of M stimuli.

    Returns
    -------
    (N,) float64, at most 1; NaN of a unit that never varies.
    """
    repeats = len(responses)
    if responses.ndim != 3 or repeats < 2:
        raise ValueError(f"reliability needs (repeats, stimuli, units) with two repeats, not {tuple(responses.shape)}")
    rng = np.random.default_rng(seed)
    total = torch.zeros(responses.shape[-1], dtype=torch.float64, device=responses.device)
    for _ in range(SPLITS):
        order = rng.permutation(repeats)
        first, second = order[: repeats // 2], order[repeats // 2 : 2 * (repeats // 2)]
        total += _correlation(_mean(responses, first), _mean(responses, second))
    r, times = (total / SPLITS).clamp(min=_LOWEST), repeats / (repeats // 2)
    corrected = times * r / (1 + (times - 1) * r)
    constant = (responses == responses[:1, :1]).flatten(0, 1).all(dim=0)
    return torch.where(constant, torch.nan, corrected)


def ceilings(source: Any, names: Iterable[str], device: torch.device) -> dict[str, Tensor]:
    """√ρ of each unit, (N,), the largest r that its noise allows; 0 where ρ is ``LEAST`` or less.

    Of the layers of a Representation that says how well its units repeat (``reliability``), and no others.
    """
    known = getattr(source, "reliability", {})
    found = {name: known[name].to(device, torch.float64) for name in names if name in known}
    return {name: torch.where(rho > LEAST, rho, 0.0).sqrt() for name, rho in found.items()}


def _mean(responses: Tensor, which: np.ndarray) -> Tensor:
    total = torch.zeros(responses.shape[1:], dtype=torch.float64, device=responses.device)
    for repeat in which.tolist():
        total += responses[repeat]
    return total / len(which)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson r of each column; 0 where one of the two does not vary."""
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    size = (a.square().sum(dim=0) * b.square().sum(dim=0)).sqrt()
    return torch.where(size > 0, (a * b).sum(dim=0) / torch.where(size > 0, size, 1.0), 0.0)
