"""Each parametric shift is the published formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from torch import Tensor

from convergence.stimuli.shifts import SHIFTS, apply
from convergence.stimuli.shifts.circular import circular_blurs
from convergence.stimuli.shifts.draws import Streams
from convergence.stimuli.shifts.fourier import phase_scrambling
from tests.support.photographs import PHOTOGRAPHS, assert_shows, digits, distort, reference_grey, resized


def test_without_colour_an_image_is_its_grey() -> None:
    assert torch.equal(distort(PHOTOGRAPHS, "colour", "cr"), PHOTOGRAPHS)
    assert_shows(distort(PHOTOGRAPHS, "colour", "bw"), reference_grey(PHOTOGRAPHS))


@pytest.mark.parametrize("level", SHIFTS["contrast"].levels)
def test_contrast_shrinks_grey_towards_one_half(level: str) -> None:
    c = {"c100": 1, "c50": 0.5, "c30": 0.3, "c15": 0.15, "c10": 0.1, "c05": 0.05, "c03": 0.03, "c01": 0.01}[level]
    assert_shows(distort(PHOTOGRAPHS, "contrast", level), 0.5 + c * (reference_grey(PHOTOGRAPHS) - 0.5))


@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("level", ["1", "3", "10", "40"])
def test_low_pass_is_scipys_gaussian_in_front_of_mean_grey(level: str, size: int) -> None:
    images = resized(size)
    g = reference_grey(images)
    sigma = float(level) * size / 224
    expected = [ndimage.gaussian_filter(x, sigma, mode="constant", cval=g.mean(), truncate=4.0) for x in g]
    assert_shows(distort(images, "low-pass", level), np.stack(expected))


@pytest.mark.parametrize("level", ["3", "1.5", "0.7", "0.4"])
def test_high_pass_is_what_a_blur_takes_away_around_mean_grey(level: str) -> None:
    g = reference_grey(PHOTOGRAPHS)
    mean = g.mean()
    low = [ndimage.gaussian_filter(x, float(level), mode="constant", cval=mean, truncate=4.0) for x in g]
    high = g - np.stack(low)
    expected = high + mean - high.mean((1, 2), keepdims=True)
    assert_shows(distort(PHOTOGRAPHS, "high-pass", level), expected)


@pytest.mark.parametrize("size", [63, 64])
def test_power_equalisation_is_own_phase_under_the_mean_amplitude(size: int) -> None:
    images = resized(size)
    spectrum = np.fft.fft2(reference_grey(images))
    expected = np.fft.ifft2(np.exp(1j * np.angle(spectrum)) * np.abs(spectrum).mean(0))
    assert np.abs(expected.imag).max() < 1e-9
    assert_shows(distort(images, "power-equalisation", "pow"), expected.real)


def faint(images: Tensor) -> Tensor:
    """Images around middle grey, whose shifted ones are not clipped."""
    return (images // 16 + 120).to(torch.uint8)


def test_power_equalised_images_have_one_spectrum() -> None:
    images = faint(PHOTOGRAPHS)
    plane = distort(images, "power-equalisation", "pow")[:, 0].numpy() / 255
    amplitude = np.abs(np.fft.fft2(plane))
    wanted = np.abs(np.fft.fft2(reference_grey(images))).mean(0)
    # What is left is rounding to 256 levels.
    assert np.abs(amplitude - wanted).max() < 0.005 * wanted.max()
    assert np.abs(amplitude - wanted).mean() < 64 / 255


@pytest.mark.parametrize("size", [31, 32])
@pytest.mark.parametrize("level", ["30", "90", "180"])
def test_phase_scrambling_moves_phases_within_its_width_and_keeps_amplitudes(level: str, size: int) -> None:
    images = resized(size)
    uniform = Streams([5, 6], torch.device("cpu")).uniform(size, size // 2 + 1)
    result = phase_scrambling(images.double() / 255, float(level), uniform)[:, 0].numpy()
    before, after = np.fft.fft2(reference_grey(images)), np.fft.fft2(result)
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-9)
    moved = np.abs(np.angle(after / before, deg=True))
    own_opposites = (0, size // 2) if size % 2 == 0 else (0,)
    for row in own_opposites:
        for column in own_opposites:
            assert moved[:, row, column].max() < 1e-6
    assert moved.max() <= float(level) + 1e-6
    assert abs(moved.mean() - float(level) / 2) < 0.06 * float(level)


def test_false_colour_is_the_opponent_colour_at_equal_luminance() -> None:
    rgb = PHOTOGRAPHS.numpy() / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, np.power((rgb + 0.055) / 1.055, 2.4))
    luminance = 0.258828 * linear[:, 0] + 0.607436 * linear[:, 1] + 0.133736 * linear[:, 2]
    wanted = np.clip(2 * luminance[:, None] - linear, 0, 1)
    encoded = np.where(wanted <= 0.0031308, wanted * 12.92, 1.055 * np.power(wanted, 1 / 2.4) - 0.055)
    assert_shows(distort(PHOTOGRAPHS, "false-colour", "false"), encoded)
    greys = digits(5)
    assert torch.equal(distort(greys, "false-colour", "false"), greys)


@pytest.mark.parametrize("level", ["90", "180", "270"])
def test_rotation_turns_grey_counter_clockwise(level: str) -> None:
    expected = np.rot90(reference_grey(PHOTOGRAPHS), int(level) // 90, axes=(1, 2))
    assert_shows(distort(PHOTOGRAPHS, "rotation", level), expected)


@pytest.mark.parametrize("level", SHIFTS["uniform-noise"].levels)
def test_uniform_noise_is_one_plane_of_its_width_on_low_contrast(level: str) -> None:
    pixels = distort(PHOTOGRAPHS, "uniform-noise", level)
    assert torch.equal(pixels[:, 0], pixels[:, 1])
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    noise = pixels[:, 0].numpy() / 255 - (0.35 + 0.3 * reference_grey(PHOTOGRAPHS))
    width, rounding = float(level), 0.5 / 255
    assert np.abs(noise).max() <= width + rounding + 1e-9
    if 0 < width <= 0.35:  # wider noise is clipped
        assert np.abs(noise).max() > 0.99 * width
        assert abs(noise.mean()) < 0.03 * width
        assert noise.std() == pytest.approx(width / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("size", [32, 64, 224])
@pytest.mark.parametrize(
    ("shift", "level", "seed"), [("eidolonI", "16-10-10", 1), ("eidolonII", "8-3-10", 2), ("eidolonIII", "4-0-10", 3)]
)
def test_an_eidolon_is_its_scales_sampled_at_displaced_places(shift: str, level: str, seed: int, size: int) -> None:
    padded = 2 * size if size < 224 else 512
    before = (padded - size) // 2
    scale = size / 256
    reach, c = int(level.split("-")[0]) * scale, int(level.split("-")[1]) / 10
    sigmas = [s for s in (2 ** (-0.5 + k / 2) for k in range(14)) if s < size / 4 * 1.001]
    images = resized(size)[:1]
    g = np.pad(reference_grey(images)[0], before, mode="reflect")

    def blurred(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
        return fft.irfft2(ndimage.fourier_gaussian(fft.rfft2(plane), sigma, padded))

    philox = np.random.Philox(key=seed)

    def noise(sigma: float) -> NDArray[np.float64]:
        bits = philox.random_raw(padded**2).reshape(padded, padded)
        radius = np.sqrt(-2 * np.log(((bits >> np.uint64(33)) + 0.5) / 2**31))
        angle = 2 * np.pi * (bits >> np.uint64(1) & np.uint64(2**32 - 1)) / 2**32
        planes = np.stack([radius * np.cos(angle), radius * np.sin(angle)])
        planes *= 127.5 / np.abs(planes).max((1, 2), keepdims=True)
        return scale * np.stack([blurred(plane - plane.mean(), sigma) for plane in planes])

    result, coherent = np.zeros((size, size)), np.zeros((2, padded, padded))
    middle = slice(before, before + size)
    places = np.mgrid[middle, middle]
    for k in reversed(range(len(sigmas))):
        coarse = blurred(g, sigmas[k + 1]) if k < len(sigmas) - 1 else 0
        fine = blurred(g, sigmas[k]) if k else g
        incoherent = noise(10 * scale) if c < 1 else 0
        if c > 0:
            coherent += noise(sigmas[k]) * sigmas[k] / sigmas[-1]
        x, y = (reach * ((1 - c) * incoherent + c * coherent))[:, middle, middle]
        result += ndimage.map_coordinates(fine - coarse, places + np.stack([y, x]), order=1, mode="nearest")
    made = apply(images, shift, level, seeds=[seed])
    # Of a grey level: single precision, and in large images blurs without their far ends.
    assert_shows(made, result[None], slack=0.01 if size < 224 else 0.1)


def test_normal_pairs_are_box_and_mullers_of_the_seeds_bits() -> None:
    count = 100_000  # more than are made at once
    made = Streams([7], torch.device("cpu")).normal_pairs(count)[0].numpy()
    bits = np.random.Philox(key=7).random_raw(count)
    radius = np.sqrt(-2 * np.log(((bits >> np.uint64(33)) + 0.5) / 2**31))
    angle = 2 * np.pi * (bits >> np.uint64(1) & np.uint64(2**32 - 1)) / 2**32
    assert (
        np.abs(made - radius * np.stack([np.cos(angle), np.sin(angle)])).max() < 2e-5
    )  # the least radii are rounded most


def test_noise_of_an_image_is_normal_and_uniform() -> None:
    streams = Streams([3, 4], torch.device("cpu"))
    normal, uniform = streams.normal_pairs(200, 200), streams.uniform(200, 200)
    assert normal.mean((2, 3)).abs().max() < 0.03
    assert (normal.std((2, 3)) - 1).abs().max() < 0.02
    assert abs(float(normal.pow(4).mean()) - 3) < 0.1
    assert abs(float((normal[:, 0] * normal[:, 1]).mean())) < 0.02
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert (uniform.mean((1, 2)) - 0.5).abs().max() < 0.01


@pytest.mark.parametrize("sigma", [0.71, 1.0, 2.0, 3.7, 8.75, 16.0, 40.0])
@pytest.mark.parametrize("size", [24, 96, 224])
def test_a_circular_blur_of_the_middle_is_that_of_the_whole(size: int, sigma: float) -> None:
    padded = 2 ** int(np.ceil(np.log2(1.5 * size)))
    start = (padded - size) // 2
    noise = torch.randn(2, padded, padded, generator=torch.Generator().manual_seed(0))
    gain = ndimage.fourier_gaussian(np.fft.fft2(noise.double().numpy()), [0, sigma, sigma])
    whole = np.fft.ifft2(gain).real[:, start : start + size, start : start + size]
    middle = circular_blurs(noise[None], [sigma], start, start + size)[0]
    assert np.abs(middle.numpy() - whole).max() < (2e-4 if sigma < 1.3 else 2e-6)
