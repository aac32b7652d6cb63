"""Stimuli that were shown elsewhere: ids without images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from convergence.stimuli.base import Stimuli
from convergence.system.hashing import digest

NAME = "recorded"  # in place of a data set's


@dataclass
class RecordedStimuli(Stimuli):
    """M ids; what recordings are compared by that need no images."""

    @property
    def at_hand(self) -> bool:
        return True

    def image(self, i: int) -> Image.Image:
        raise AssertionError(f"{self.ids[i]} was shown elsewhere")  # a bug of ours, never a user's


def recorded_stimuli(ids: Sequence[str]) -> RecordedStimuli:
    """The stimuli of these ids, in this order, of no known class."""
    return RecordedStimuli(NAME, (), tuple(ids), torch.full((len(ids),), -1), digest(NAME, list(ids)))
