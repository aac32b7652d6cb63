"""Whether code of the user's own gives the same when it is asked again."""

from __future__ import annotations

import torch
from torch import Tensor

from convergence.system.errors import UserError

TIMES = 8  # things that are asked for twice: a random flip shows in all but one of 256 tries


def refuse_another(one: Tensor, other: Tensor, sentence: str) -> None:
    """Raise UserError, with the sentence, if two readings of one thing differ; NaN is like NaN."""
    if one.shape != other.shape or not torch.equal(one.nan_to_num(), other.nan_to_num()):
        raise UserError(sentence)
