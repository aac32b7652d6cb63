"""Whose texture an image takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convergence.stimuli.base import Stimuli
from convergence.stimuli.shifts.shift import Partner, Shift
from convergence.system.errors import UserError


def partners_of(base: Stimuli, shift: Shift, seeds: Sequence[int], groups: Tensor | None = None) -> Tensor:
    """For each image another one, (M,), by its seed: of any class, or of any other class where classes are known.

    Parameters
    ----------
    groups : (M,) partners are of one group, such as a fold: then no image enters both halves of a split.

    Raises
    ------
    UserError
        If there is no other image, or no other class, in a group.
    """
    other_class = shift.partner is Partner.other_class and bool(base.classes)
    same = torch.arange(len(base))
    if other_class:
        same = base.labels
    result = torch.empty(len(base), dtype=torch.int64)
    together = torch.zeros(len(base), dtype=torch.int64) if groups is None else groups
    kinds = "images of two classes" if other_class else "two images"
    needed = f"{shift.name} takes textures from other images of {base.name}: it needs at least {kinds}"
    needed += "." if groups is None else " in each fold."
    for group in together.unique():
        members = (together == group).nonzero()[:, 0]
        result[members] = members[_partners(same[members], [seeds[i] for i in members.tolist()], needed)]
    return result


def _partners(same: Tensor, seeds: Sequence[int], needed: str) -> Tensor:
    """Places among the members of one group; the ``same``, such as one's own class, are out of question."""
    order = torch.argsort(same, stable=True)  # such images lie side by side
    _, inverse, counts = torch.unique(same, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise UserError(needed)
    ends = counts.cumsum(0)[inverse]
    others = len(same) - counts[inverse]
    step = torch.tensor([seed % count for seed, count in zip(seeds, others.tolist(), strict=True)])
    return order[(ends + step) % len(same)]
