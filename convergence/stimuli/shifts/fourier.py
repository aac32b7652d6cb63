"""Shifts of the spectrum: low-pass, high-pass, power-equalisation, phase-scrambling.

Images are float (n, 3, S, S) in [0, 1]; results are grey, may leave [0, 1] and are clipped by ``apply``.
The definitions are those of Geirhos et al. 2018 (arXiv 1808.08750), with one exception, told under phase_scrambling.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convergence.stimuli.shifts.colour import as_rgb, grey
from convergence.stimuli.shifts.gaussian import blur

REFERENCE_SIZE = 224  # of the images that the benchmark's standard deviations, in pixels, were chosen for
_NO_AMPLITUDE = 1e-10  # of the largest there can be; the phase of what is smaller is a matter of rounding


def low_pass(images: Tensor, sigma: float, mean_grey: float) -> Tensor:
    """Grey, blurred by a Gaussian of sigma S / 224 pixels (literally ``sigma`` at S = 224), truncated at 4 sigma.

    What lies outside the image counts as the data set's mean grey.
    """
    return as_rgb(blur(grey(images), sigma * images.shape[-1] / REFERENCE_SIZE, mean_grey))


def high_pass(images: Tensor, sigma: float, mean_grey: float) -> Tensor:
    """Grey minus its blur by a Gaussian of ``sigma`` pixels, moved to the data set's mean grey.

    Pixels at any size: what a high-pass leaves is detail of the scale of pixels, and sigma scaled as that of the
    low-pass would leave nothing at all of small images. An infinite sigma leaves grey alone.
    """
    g = grey(images)
    if math.isinf(sigma):
        return as_rgb(g)
    high = g - blur(g, sigma, mean_grey)
    return as_rgb(high + mean_grey - high.mean((1, 2), keepdim=True))


def power_equalisation(images: Tensor, amplitude: Tensor) -> Tensor:
    """Each image's Fourier phases under one ``amplitude`` (S, S // 2 + 1), that of ``torch.fft.rfft2``."""
    return as_rgb(_plane(phases(grey(images)) * amplitude))


def phase_scrambling(images: Tensor, degrees: float, uniform: Tensor) -> Tensor:
    """Every Fourier phase is moved by U[-degrees, degrees), the amplitudes are kept.

    Opposite frequencies move oppositely, so that the image stays real: the four that are their own opposites (mean
    and Nyquist) do not move. The published code breaks this symmetry, and thereby loses amplitude: from 2 % at 30
    degrees to 36 % at 180.

    Parameters
    ----------
    uniform : (n, S, S // 2 + 1) in [0, 1).
    """
    size = images.shape[-1]
    half = (size - 1) // 2
    move = math.radians(degrees) * (2 * uniform - 1)
    # The half spectrum holds both of a pair of opposites in these columns only.
    for column in {0, size // 2} if size % 2 == 0 else {0}:
        move[:, size - half :, column] = -move[:, 1 : half + 1, column].flip(1)
        move[:, 0, column] = 0
        if size % 2 == 0:
            move[:, size // 2, column] = 0
    return as_rgb(_plane(torch.fft.rfft2(grey(images)) * torch.polar(torch.ones_like(move), move)))


def phases(planes: Tensor) -> Tensor:
    """Half spectrum of planes (..., S, S) with all amplitudes one, complex (..., S, S // 2 + 1)."""
    spectrum = torch.fft.rfft2(planes)
    amplitude = spectrum.abs()
    none = amplitude <= _NO_AMPLITUDE * planes.shape[-1] ** 2
    return torch.where(none, 1.0, spectrum / torch.where(none, 1.0, amplitude))


def _plane(spectrum: Tensor) -> Tensor:
    """Real planes (..., S, S) of half spectra."""
    size = spectrum.shape[-2]
    return torch.fft.irfft2(spectrum, s=(size, size))
