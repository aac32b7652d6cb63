"""Eidolons: images whose details have lost their places (Koenderink et al. 2017, Eidolons: novel stimuli)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from convergence.stimuli.shifts.circular import circular_blur, circular_gain
from convergence.stimuli.shifts.colour import as_rgb, grey
from convergence.stimuli.shifts.draws import Streams

REFERENCE_SIZE = 256  # of the images that the benchmark's reach and grain, in pixels, were chosen for
_FINEST = 2**-0.5
_FULL_SCALE = 127.5  # of the noise
_NOTHING = 1e-14  # of a frequency that a blur leaves
_ELEMENTS = 2**20  # of a plane for all images of a batch: what is in memory at once is some ten times as much


def eidolon(images: Tensor, reach: float, coherence: float, grain: float, seeds: Sequence[int]) -> Tensor:
    """Grey images as stacks of scales, each scale sampled at places displaced by smooth noise.

    Reach and grain are in pixels of an image of 256 x 256. At another size S both, and the displacements, are those
    of the reference seen at S: with s = S / 256, the noise of a blur s sigma is s times as strong per sigma, so that
    s R s N(s sigma) is R N(sigma) in pixels of the image. At S = 256 the definition is literal.

    Parameters
    ----------
    images : (n, 3, S, S) in [0, 1].
    reach : how far the displacements go.
    coherence : 0 (each scale is displaced on its own) to 1 (the displacements of coarser scales carry the finer ones).
    grain : blur of the displacements that scales have on their own.
    seeds : n, one per image.

    Returns
    -------
    (n, 3, S, S); may leave [0, 1].
    """
    planes = grey(images)
    batch = max(_ELEMENTS // _padded(images.shape[-1]) ** 2, 1)
    parts = [
        _displaced(planes[start : start + batch], reach, coherence, grain, seeds[start : start + batch])
        for start in range(0, len(planes), batch)
    ]
    return as_rgb(torch.cat(parts)) if parts else images


def _displaced(planes: Tensor, reach: float, coherence: float, grain: float, seeds: Sequence[int]) -> Tensor:
    size = planes.shape[-1]
    scale = size / REFERENCE_SIZE
    padded = _padded(size)
    before = (padded - size) // 2
    after = padded - size - before
    wide = functional.pad(planes[:, None], (before, after, before, after), mode="reflect")[:, 0]
    spectrum = torch.fft.rfft2(wide)
    steps = 1 + math.floor(2 * math.log2(size / 4 / _FINEST) + 1e-9)  # up to S / 4, itself included
    sigmas = [_FINEST * 2 ** (k / 2) for k in range(steps)]
    streams = [Streams([seed], torch.device("cpu")) for seed in seeds]
    middle = slice(before, before + size)
    # From coarse to fine: what is coherent at a scale is summed over the coarser ones.
    coherent = torch.zeros((), dtype=planes.dtype, device=planes.device)
    coarser = torch.zeros_like(wide)
    result = torch.zeros_like(planes)
    for k in reversed(range(steps)):
        # Slices sum to the image: the finest reaches down to what was not blurred at all.
        finer = _blurred(spectrum, sigmas[k], padded) if k else wide
        displacement = torch.zeros((), dtype=planes.dtype, device=planes.device)
        if coherence < 1:
            displacement = (1 - coherence) * _noise(streams, grain * scale, padded, middle).to(planes)
        if coherence > 0:
            coherent = coherent + _noise(streams, sigmas[k], padded, middle).to(planes) * (sigmas[k] / sigmas[-1])
            displacement = displacement + coherence * coherent
        result += _sample(finer - coarser, reach * scale * scale * displacement, before)
        coarser = finer
    return result


def _padded(size: int) -> int:
    return 2 ** math.ceil(math.log2(1.5 * size))


def _blurred(spectrum: Tensor, sigma: float, size: int) -> Tensor:
    """Planes (n, size, size) of half spectra, blurred: frequencies of which nothing is left are not transformed."""
    gain = circular_gain(size, sigma, spectrum.real)
    low = gain[: size // 2 + 1]
    kept = int((low > _NOTHING).sum())
    columns = torch.fft.ifft(spectrum[..., :kept] * gain[:, None] * low[:kept], dim=-2)
    return torch.fft.irfft(columns, n=size, dim=-1)


def _noise(streams: Sequence[Streams], sigma: float, padded: int, middle: slice) -> Tensor:
    """Two planes of noise, (n, 2, size, size): white at full scale, without its mean, blurred; its middle.

    Made image by image on the CPU: single precision then rounds the same way in any batch and beside any device.
    """
    made = []
    for stream in streams:
        white = stream.normal_pairs(padded, padded)
        strength = _FULL_SCALE / torch.maximum(white.amax((2, 3), keepdim=True), -white.amin((2, 3), keepdim=True))
        blurred = circular_blur(white, sigma, middle.start, middle.stop)
        made.append((blurred - white.mean((2, 3), keepdim=True)) * strength)
    return torch.cat(made)


def _sample(planes: Tensor, displacement: Tensor, offset: int) -> Tensor:
    """Planes (n, P, P) at the displaced places of the pixels inside, (n, S, S), linear between pixels.

    The displacement is (n, 2, S, S), in pixels: across and down.
    """
    padded, size = planes.shape[-1], displacement.shape[-1]
    index = torch.arange(offset, offset + size, dtype=planes.dtype, device=planes.device)
    across, down = index + displacement[:, 0], index[:, None] + displacement[:, 1]
    # Where grid_sample wants it: -1 and 1 are the centres of the first and the last pixel.
    grid = torch.stack([across, down], -1) * (2 / (padded - 1)) - 1
    return functional.grid_sample(planes[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
