"""Photographs as the shifts, and the benchmark, see them: squares of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli, digest

_SHORT_SIDE, _CROP = 256, 224


@dataclass
class SquareStimuli(Stimuli):
    """Photographs as 224 x 224 pixels: the short side resized to 256, the centre cropped."""

    base: Stimuli | None = None

    def pixels(self, indices: Sequence[int]) -> Tensor:
        crops = [np.array(self.image(i)) for i in torch.as_tensor(indices).tolist()]
        stacked = np.stack(crops) if crops else np.empty((0, _CROP, _CROP, 3), dtype=np.uint8)
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()

    def image(self, i: int) -> Image.Image:
        assert self.base is not None
        photograph = self.base.image(i)
        short = min(photograph.size)
        width, height = (round(side * _SHORT_SIDE / short) for side in photograph.size)
        left, top = (width - _CROP) // 2, (height - _CROP) // 2
        resized = photograph.resize((width, height), Image.Resampling.BILINEAR)
        return resized.crop((left, top, left + _CROP, top + _CROP))


def square(base: Stimuli) -> Stimuli:
    """The images as the shifts see them: themselves if all are squares of one size, else 224 x 224 crops.

    Compare shifted images with these: then nothing but the shift differs.
    """
    pixels = base.pixels([0])
    if pixels is not None and pixels.shape[-1] == pixels.shape[-2]:
        return base
    fingerprint = digest(base.fingerprint, "square", _SHORT_SIDE, _CROP)
    about = (base.skipped, base.members, base.texture_labels)
    return SquareStimuli(base.name, base.classes, base.ids, base.labels, fingerprint, *about, base=base)
