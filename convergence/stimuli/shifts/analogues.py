"""What stands in, for photographs, for sets that hands or other networks made: sketch, stylized, cue-conflict.

Images are float (n, 3, S, S) in [0, 1]; results may leave [0, 1] and are clipped by ``apply``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convergence.stimuli.shifts.colour import as_rgb, grey
from convergence.stimuli.shifts.fourier import phases
from convergence.stimuli.shifts.gaussian import blur

_STROKE = 1 / 56  # of the image's width: lines and shades of a sketch
_DARKNESS = 3.0
_SHAPE = 1 / 48  # of the image's width: finer than that, the texture rules
_SHAPE_GAIN = 1.2
_TEXTURE_GAIN = 0.8
_TILE = 3  # tiles along a side


def sketch(images: Tensor) -> Tensor:
    """Pencil on white: grey as a share of its surroundings' grey, so that only what is darker than those stays."""
    g = grey(images)
    around = blur(g, max(_STROKE * images.shape[-1], 1.0))
    return as_rgb(((g + 0.02) / (around + 0.02)).clamp(max=1) ** _DARKNESS)


def stylized(images: Tensor, partners: Tensor) -> Tensor:
    """The content's Fourier phases, which carry its layout, under the partner's amplitudes, channel by channel.

    Mean colour, contrast, and the strength of every scale and orientation are then the partner's (Oppenheim and Lim
    1981, The importance of phase in signals).
    """
    size = images.shape[-1]
    return torch.fft.irfft2(phases(images) * torch.fft.rfft2(partners).abs(), s=(size, size))


def cue_conflict(images: Tensor, partners: Tensor) -> Tensor:
    """The content's layout in light and dark, and the partner's colours and texture, without the partner's layout.

    The texture is the middle of the partner, mirrored again and again over the image.
    """
    shape = blur(grey(images), _SHAPE * images.shape[-1])
    shape = shape - shape.mean((1, 2), keepdim=True)
    texture = _tiled(partners)
    mean = texture.mean((2, 3), keepdim=True)
    return mean + _TEXTURE_GAIN * (texture - mean) + _SHAPE_GAIN * shape[:, None]


def _tiled(images: Tensor) -> Tensor:
    size = images.shape[-1]
    side = -(-size // _TILE)
    start = (size - side) // 2
    place = torch.arange(size, device=images.device) % (2 * side)
    mirrored = start + torch.where(place < side, place, 2 * side - 1 - place)
    return images[:, :, mirrored[:, None], mirrored]
