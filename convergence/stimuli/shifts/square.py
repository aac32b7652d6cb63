"""Photographs as the shifts, and the benchmark, see them: squares of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli
from convergence.system.hashing import digest

_SHORT_SIDE, _CROP = 256, 224


@dataclass
class SquareStimuli(Stimuli):
    """Images of any sizes as squares of one size: the short side resized, the centre cropped.

    Attributes
    ----------
    short_side, crop : in pixels, before and after cropping.
    """

    base: Stimuli | None = None
    short_side: int = _SHORT_SIDE
    crop: int = _CROP

    def pixels(self, indices: Sequence[int]) -> Tensor:
        crops = [np.array(self.image(i)) for i in torch.as_tensor(indices).tolist()]
        stacked = np.stack(crops) if crops else np.empty((0, self.crop, self.crop, 3), dtype=np.uint8)
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()

    def image(self, i: int) -> Image.Image:
        assert self.base is not None
        photograph = self.base.image(i)
        short = min(photograph.size)
        width, height = (round(side * self.short_side / short) for side in photograph.size)
        left, top = (width - self.crop) // 2, (height - self.crop) // 2
        resized = photograph.resize((width, height), Image.Resampling.BILINEAR)
        return resized.crop((left, top, left + self.crop, top + self.crop))


def square(base: Stimuli) -> Stimuli:
    """The images as the shifts see them: themselves if all are squares of one size.

    Of those of another common size the middle, nothing being resized; photographs of several sizes become crops of
    224 x 224. Compare shifted images with these: then nothing but the shift differs.
    """
    size = base.common_size
    if size is None:
        return cropped(base, _SHORT_SIDE, _CROP)
    width, height = size
    return base if width == height else cropped(base, min(size), min(size))


def cropped(base: Stimuli, short_side: int, crop: int) -> SquareStimuli:
    """The images with their short side resized, and the square in the middle cropped, in pixels."""
    fingerprint = digest(base.fingerprint, "square", short_side, crop)
    about = (base.skipped, base.members, base, short_side, crop)
    return SquareStimuli(base.name, base.classes, base.ids, base.labels, fingerprint, *about)
