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
_SHAPE = 1 / 100  # of the image's width: finer than that, the texture rules
_TEXTURE_CONTRAST = 0.7
_DARKEST, _BRIGHTEST = 0.1, 1.5  # what texture is multiplied by
_TILE = 5  # tiles along a side


def sketch(images: Tensor) -> Tensor:
    """Pencil on white: grey as a share of its surroundings' grey, so that only what is darker than those stays."""
    g = grey(images)
    around = blur(g, max(_STROKE * images.shape[-1], 1.0))
    return as_rgb(((g + 0.02) / (around + 0.02)).clamp(max=1) ** _DARKNESS)


def stylized(images: Tensor, partners: Tensor) -> Tensor:
    """The Fourier phases of the content's grey, which carry its layout, under the partner's amplitudes.

    Mean colour, contrast, and the strength and colour of every scale and orientation are then the partner's (Oppenheim
    and Lim 1981, The importance of phase in signals).
    """
    size = images.shape[-1]
    return torch.fft.irfft2(phases(grey(images))[:, None] * torch.fft.rfft2(partners).abs(), s=(size, size))


def cue_conflict(images: Tensor, partners: Tensor) -> Tensor:
    """The partner's colours and texture, without its layout, in the content's light and shade.

    The texture is the middle of the partner, mirrored again and again over the image, at a lower contrast.
    """
    light = blur(grey(images), _SHAPE * images.shape[-1])
    darkest, brightest = light.amin((1, 2), keepdim=True), light.amax((1, 2), keepdim=True)
    shade = (light - darkest) / (brightest - darkest).clamp(min=1e-3)
    texture = _tiled(partners)
    mean = texture.mean((2, 3), keepdim=True)
    faint = mean + _TEXTURE_CONTRAST * (texture - mean)
    return faint * (_DARKEST + (_BRIGHTEST - _DARKEST) * shade)[:, None]


def _tiled(images: Tensor) -> Tensor:
    size = images.shape[-1]
    side = -(-size // _TILE)
    start = (size - side) // 2
    place = torch.arange(size, device=images.device) % (2 * side)
    mirrored = start + torch.where(place < side, place, 2 * side - 1 - place)
    return images[:, :, mirrored[:, None], mirrored]
