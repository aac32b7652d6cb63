"""Eidolons: images whose details have lost their places (Koenderink et al. 2017, Eidolons: novel stimuli)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from convergence.stimuli.shifts.circular import circular_blurs
from convergence.stimuli.shifts.colour import as_rgb, grey
from convergence.stimuli.shifts.draws import Streams

REFERENCE_SIZE = 256  # of the images that the benchmark's reach and grain, in pixels, were chosen for
_FINEST = 2**-0.5
_FULL_SCALE = 127.5  # of the noise
_TOGETHER = 2**16  # pixels of noise that are made at once
_ROUND = 32  # pixels


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
    scale = images.shape[-1] / REFERENCE_SIZE
    # Image by image on the CPU: single precision then rounds the same way in any batch and beside any device.
    made = [
        _sampled(plane, _places(plane.shape[-1], scale**2 * reach, coherence, scale * grain, seed))
        for plane, seed in zip(grey(images).float().cpu(), seeds, strict=True)
    ]
    return as_rgb(torch.stack(made).to(images)) if made else images


def _sigmas(size: int) -> list[float]:
    """Of the scales, from fine to coarse: up to S / 4, itself included."""
    steps = 1 + math.floor(2 * math.log2(size / 4 / _FINEST) + 1e-9)
    return [_FINEST * 2 ** (k / 2) for k in range(steps)]


def _around(size: int) -> tuple[int, int]:
    """Pixels along a side with the mirror images around, and where the image begins."""
    padded = 2 ** math.ceil(math.log2(1.5 * size))
    return padded, (padded - size) // 2


@functools.cache
def _middle(size: int) -> Tensor:
    """Of each pixel inside its place in what is padded: (2, S, S), across and down."""
    index = torch.arange(size, dtype=torch.float32) + _around(size)[1]
    return torch.stack([index.expand(size, size), index[:, None].expand(size, size)])


def _places(size: int, reach: float, coherence: float, grain: float, seed: int) -> Tensor:
    """Where in what is padded each pixel samples each scale, from fine to coarse: (K, 2, S, S), across and down."""
    sigmas = _sigmas(size)
    wanted = [s for sigma in sigmas[::-1] for s in (grain, sigma)[coherence == 1 : 1 + (coherence > 0)]]
    noise = _noise(seed, wanted, size)
    places = _middle(size).repeat(len(sigmas), 1, 1, 1)
    coherent = torch.zeros(2, size, size)
    # From coarse to fine: what is coherent at a scale is summed over the coarser ones.
    for sigma, place in zip(sigmas[::-1], places.unbind()[::-1], strict=True):
        if coherence < 1:
            place.add_(next(noise), alpha=reach * (1 - coherence))
        if coherence > 0:
            coherent.add_(next(noise), alpha=sigma / sigmas[-1])
            place.add_(coherent, alpha=reach * coherence)
    return places


def _noise(seed: int, sigmas: Sequence[float], size: int) -> Iterator[Tensor]:
    """Pairs of planes of noise: white at full scale, without its mean, blurred; what is not padded, (2, S, S) each."""
    padded, before = _around(size)
    stream = Streams([seed], torch.device("cpu"))
    together = max(_TOGETHER // padded**2, 1)
    for at in range(0, len(sigmas), together):
        part = sigmas[at : at + together]
        white = stream.normal_pairs(len(part), padded, padded)[0].transpose(0, 1)
        strength = _FULL_SCALE / torch.maximum(white.amax((2, 3), keepdim=True), -white.amin((2, 3), keepdim=True))
        blurred = circular_blurs(white, part, before, before + size)
        yield from blurred.sub_(white.mean((2, 3), keepdim=True)).mul_(strength)


def _sampled(plane: Tensor, places: Tensor) -> Tensor:
    """A plane's slices, each at its places of the pixels, linear between pixels, summed: (S, S); uses up the places."""
    size = plane.shape[-1]
    padded, before = _around(size)
    after = padded - size - before
    wide = functional.pad(plane[None], (before, after, before, after), mode="reflect")
    # Only what is sampled of it is made, in steps of some pixels, so that few kinds of blurs are needed.
    first, last = places.aminmax()
    start = max(int(first) // _ROUND * _ROUND, 0)
    stop = min(-(-(int(last) + 2) // _ROUND) * _ROUND, padded)
    blurred = circular_blurs(wide[None], _sigmas(size)[1:], start, stop)
    scales = torch.cat([wide[None, :, start:stop, start:stop], blurred])
    # Slices sum to the image: the finest reaches down to what was not blurred at all.
    scales[:-1] -= blurred
    # Where grid_sample wants them: -1 and 1 are the centres of the first and the last pixel.
    grid = places.sub_(start).mul_(2 / (stop - start - 1)).sub_(1).permute(0, 2, 3, 1)
    return functional.grid_sample(scales, grid, padding_mode="border", align_corners=True).sum((0, 1))
