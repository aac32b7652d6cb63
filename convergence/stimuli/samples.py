"""A few images of every shift and level, to look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from convergence.stimuli.base import Stimuli
from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.options import DatasetConfig, ShiftSource

WITHIN = "wd"
_IMAGES = 3
_SIDE = 112  # most pixels along a side


@dataclass(frozen=True)
class Sample:
    """The first images of a condition.

    Attributes
    ----------
    name, level : of the shift; "wd" and "" within distribution.
    averaged : whether the level belongs in means over shifts.
    images : uint8 (n, S, S, 3), n at most 3, S at most 112; larger ones sampled, not averaged: noise stays as strong.
    """

    name: str
    level: str
    averaged: bool
    images: NDArray[np.uint8]


def samples(config: DatasetConfig, device: torch.device | str = "cpu", split: str = "test") -> list[Sample]:
    """Those of a split within distribution, then all that ``config.conditions`` and ``config.levels`` name.

    Raises
    ------
    UserError
        As ``conditions``.
    """
    if config.shifts is not ShiftSource.generated:  # these are distorted with the statistics of all that a run sees
        config = replace(config, stimuli=_IMAGES)
    within, found = conditions(config, device, split)
    return [
        Sample(WITHIN, "", False, _thumbnails(within)),
        *(Sample(c.name, c.level, c.averaged, _thumbnails(c.stimuli)) for c in found),
    ]


def _thumbnails(stimuli: Stimuli) -> NDArray[np.uint8]:
    images = [stimuli.image(i) for i in range(min(_IMAGES, len(stimuli)))]
    side = min(_SIDE, *(length for image in images for length in image.size))
    return np.stack([np.array(ImageOps.fit(image, (side, side), Image.Resampling.NEAREST)) for image in images])
