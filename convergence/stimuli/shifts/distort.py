"""From pixels to shifted pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from convergence.stimuli.shifts.levels import find
from convergence.stimuli.shifts.shift import Batch
from convergence.stimuli.shifts.statistics import Statistics
from convergence.system.errors import UserError
from convergence.system.threads import one_thread

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
    here, others = images.to(device), None if partners is None else partners.to(device)

    def distorted(part: Tensor) -> Tensor:
        beside = None if others is None else others[part].double() / 255
        batch = Batch(here[part].double() / 255, [int(seeds[i]) for i in part.tolist()], statistics, beside)
        made = chosen.distort(batch, level)
        planes = made[:, :1] if made.stride(1) == 0 else made  # grey images are one plane, three times
        # How a sum is rounded in double precision depends on batch and device. A lattice swallows that, so that values
        # half-way between two levels of a pixel, which are not rare, go the same way always.
        lattice = (planes.clamp(0, 1) * (255 * _LATTICE)).round() / _LATTICE
        return lattice.round().to(torch.uint8).expand_as(made)

    # Threads side by side, with images of their own: inside of operations this small they burn time while they wait.
    threads = max(min(torch.get_num_threads(), len(images)), 1) if device.type == "cpu" else 1
    parts = torch.arange(len(images)).tensor_split(threads)
    if threads == 1:
        made = [distorted(part) for part in parts]
    else:
        with one_thread(), ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(distorted, parts))
    return torch.cat(made).to(images.device).contiguous()
