"""What a shift must know of the whole data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from convergence.stimuli.shifts.colour import grey


@dataclass(frozen=True)
class Statistics:
    """Of the images of a data set, all S x S.

    Attributes
    ----------
    mean_grey : of all pixels, in [0, 1] (0.4423 for ImageNet).
    amplitude : (S, S // 2 + 1) mean over images of the Fourier amplitude of grey, as ``torch.fft.rfft2`` orders it.
    """

    mean_grey: float
    amplitude: Tensor


def measure(batches: Iterable[Tensor]) -> Statistics:
    """Statistics of images that come as uint8 (n, 3, S, S), at least one."""
    count = 0
    amplitude = torch.zeros(())
    for images in batches:
        planes = grey(images.double() / 255)
        amplitude = amplitude + torch.fft.rfft2(planes).abs().sum(0)
        count += len(planes)
    amplitude = amplitude / count
    # The amplitude of frequency 0 is the sum of the pixels, which are never negative.
    return Statistics(float(amplitude[0, 0]) / amplitude.shape[0] ** 2, amplitude)
