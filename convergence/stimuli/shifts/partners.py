"""Whose texture an image takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convergence.stimuli.base import Stimuli
from convergence.stimuli.shifts.shift import Partner, Shift
from convergence.system.errors import UserError


def partners_of(base: Stimuli, shift: Shift, seeds: Sequence[int]) -> Tensor:
    """For each image another one, (M,), by its seed: of any class, or of any other class.

    Raises
    ------
    UserError
        If there is no other image, or no other class.
    """
    # Images of the classes that are out of question, such as one's own, lie side by side in this order.
    groups = torch.arange(len(base)) if shift.partner is Partner.image else base.labels
    order = torch.argsort(groups, stable=True)
    _, inverse, counts = torch.unique(groups, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        needed = "two images" if shift.partner is Partner.image else "images of two classes"
        raise UserError(f"{shift.name} takes textures from other images of {base.name}: it needs at least {needed}.")
    ends = counts.cumsum(0)[inverse]
    others = len(base) - counts[inverse]
    step = torch.tensor([seed % count for seed, count in zip(seeds, others.tolist(), strict=True)])
    return order[(ends + step) % len(base)]
