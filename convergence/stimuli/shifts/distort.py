"""From pixels to shifted pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from convergence.stimuli.shifts.levels import find
from convergence.stimuli.shifts.shift import Batch
from convergence.stimuli.shifts.statistics import Statistics
from convergence.system.errors import UserError

VERSION = 5  # of the shifts: raise it whenever a pixel changes
_LEAST_SIZE = 8  # below it, an eidolon has one scale or none
_LATTICE = 2.0**20  # per level of a pixel


def apply(
    images: Tensor,
    shift: str,
    level: str,
    *,
    seeds: Sequence[int] | Tensor,
    statistics: Statistics | None = None,
    partners: Tensor | None = None,
) -> Tensor:
    """Images under a shift, each as if it were alone: uint8 (n, 3, S, S), rounded, on the images' device.

    Parameters
    ----------
    images : uint8 (n, 3, S, S), S at least 8.
    seeds : (n,) from 0 to 2^63 - 1, for what is drawn at random; ``image_seed`` makes them.
    statistics : of the data set; low-pass, high-pass and power-equalisation need them.
    partners : like images; whose texture stylized and cue-conflict take.

    Raises
    ------
    UserError
        If the shift or the level is unknown, or the images are not square or too small.
    """
    chosen = find(shift)
    level = chosen.level(level)
    *_, height, width = images.shape
    if height != width or width < _LEAST_SIZE:
        raise UserError(
            f"{shift} cannot be applied to images of {width} x {height} pixels: "
            f"give square ones of at least {_LEAST_SIZE} x {_LEAST_SIZE}."
        )
    # Apple's GPUs have no double precision.
    device = torch.device("cpu") if images.device.type == "mps" else images.device

    def floats(pixels: Tensor) -> Tensor:
        return pixels.to(device).double() / 255

    others = None if partners is None else floats(partners)
    result = chosen.distort(Batch(floats(images), [int(seed) for seed in seeds], statistics, others), level)
    # How a sum is rounded in double precision depends on batch and device. A lattice swallows that, so that values
    # half-way between two levels of a pixel, which are not rare, go the same way always.
    lattice = (result.clamp(0, 1) * (255 * _LATTICE)).round() / _LATTICE
    return lattice.round().to(torch.uint8).to(images.device).contiguous()
