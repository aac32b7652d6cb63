"""Outlines of whatever an image shows (Canny 1986)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from convergence.stimuli.shifts.colour import as_rgb, grey
from convergence.stimuli.shifts.fourier import REFERENCE_SIZE
from convergence.stimuli.shifts.gaussian import blur

_SIGMA, _LEAST_SIGMA = 2.0, 0.6  # pixels at the reference size; in small images, pixels are all the blur there is
_STRONG = 0.88  # share of the pixels with a lower slope than an edge's start must have
_WEAK = 0.4  # slope at which an edge still goes on, as a share of the one at which it starts
_LEAST_SLOPE = 0.02  # of an edge's start, in grey per pixel: a plain image has none


def edge(images: Tensor) -> Tensor:
    """Canny edges, black lines on white: float (n, 3, S, S) in [0, 1] to the same, 0 or 1.

    Blur of 2 S / 224 pixels (at least 0.6), Sobel slopes, thinning across the edge, and hysteresis between 0.4 t and t,
    t the slope that 88 % of the image's pixels do not reach.
    """
    return as_rgb(1 - _canny(grey(images)).to(images.dtype))


def _canny(planes: Tensor) -> Tensor:
    size = planes.shape[-1]
    across, down = _slopes(blur(planes, max(_SIGMA * size / REFERENCE_SIZE, _LEAST_SIGMA)))
    slope = torch.hypot(across, down)
    start = slope.flatten(1).kthvalue(int(_STRONG * size**2)).values.clamp(min=_LEAST_SLOPE)[:, None, None]
    crest = _crest(slope, across, down)
    weak = crest & (slope > _WEAK * start)
    edges = crest & (slope > start)
    return torch.from_numpy(np.stack([_grown(*both) for both in zip(edges, weak, strict=True)])).to(planes.device)


def _grown(edges: Tensor, weak: Tensor) -> NDArray[np.bool_]:
    """Of the weak edges those that hang together with an edge, in any of eight directions."""
    from scipy import ndimage  # half a second that runs without this shift do not pay

    parts, count = ndimage.label(weak.cpu().numpy(), np.ones((3, 3)))
    kept = np.zeros(count + 1, dtype=bool)
    kept[parts[edges.cpu().numpy()]] = True
    return kept[parts]


def _slopes(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Across and down, in grey per pixel."""
    wide = functional.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    smooth_down = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 8
    smooth_across = (wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]) / 8
    return smooth_down[:, :, 2:] - smooth_down[:, :, :-2], smooth_across[:, 2:] - smooth_across[:, :-2]


def _crest(slope: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Where the slope is largest among the two neighbours that lie in its own direction, to the nearest 45 degrees."""
    eighth = torch.round(torch.atan2(down, across) / (torch.pi / 4)).long() % 4
    wide = functional.pad(slope, (1, 1, 1, 1))
    size = slope.shape[-1]
    result = torch.zeros_like(slope, dtype=torch.bool)
    for direction, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = wide[:, 1 + dy : 1 + dy + size, 1 + dx : 1 + dx + size]
        behind = wide[:, 1 - dy : 1 - dy + size, 1 - dx : 1 - dx + size]
        # Of two equal neighbours one is the crest.
        result |= (eighth == direction) & (slope > ahead) & (slope >= behind)
    return result
