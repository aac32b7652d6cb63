"""The seventeen shifts: each parametric one is the published formula, and all belong to the image alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor

from convergence.stimuli.base import ArrayStimuli, Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.stimuli.shifts import NATIVE, SHIFTS, Statistics, apply, image_seed, measure, shifted, square
from convergence.stimuli.shifts.analogues import stylized
from convergence.stimuli.shifts.circular import circular_blurs
from convergence.stimuli.shifts.draws import Streams
from convergence.stimuli.shifts.eidolon import eidolon
from convergence.stimuli.shifts.fourier import phase_scrambling
from convergence.system.errors import UserError

EVERY = [(shift.name, level) for shift in SHIFTS.values() for level in shift.levels]
EIDOLONS = ("eidolonI", "eidolonII", "eidolonIII")
ANALOGUES = ("sketch", "stylized", "edge", "silhouette", "cue-conflict")
# Turning has no order of severity; what has one level has none either.
ORDERED = [
    shift.name for shift in SHIFTS.values() if len(shift.levels) > 1 and shift.name not in ("rotation", "contrast")
]


def resized(size: int) -> Tensor:
    """Two photographs, uint8 (2, 3, size, size)."""
    photographs = [Image.fromarray(image[:400, 120:520]).resize((size, size)) for image in load_sample_images().images]
    return torch.from_numpy(np.stack([np.array(p) for p in photographs])).permute(0, 3, 1, 2).contiguous()


def digits(count: int) -> Tensor:
    planes = torch.from_numpy(load_digits().images[:count] * (255 / 16)).round().to(torch.uint8)
    return planes[:, None].expand(-1, 3, -1, -1).contiguous()


PHOTOGRAPHS = resized(64)


def reference_grey(images: Tensor) -> NDArray[np.float64]:
    return np.einsum("nchw,c->nhw", images.numpy() / 255, (0.2125, 0.7154, 0.0721))


def distort(images: Tensor, shift: str, level: str, seed: int = 0) -> Tensor:
    seeds = [image_seed(seed, str(i), shift, level) for i in range(len(images))]
    return apply(images, shift, level, seeds=seeds, statistics=measure([images]), partners=images.roll(1, 0))


def assert_shows(pixels: Tensor, expected: NDArray[np.float64], slack: float = 1e-6) -> None:
    """Pixels are the expected floats, clipped and rounded; half-way between two levels both are right."""
    values = np.clip(expected, 0, 1) * 255
    if values.ndim == 3:
        values = np.repeat(values[:, None], 3, axis=1)
    assert np.abs(pixels.numpy() - values).max() <= 0.5 + slack


def difference(first: Tensor, second: Tensor) -> float:
    return float((first.double() - second.double()).square().mean().sqrt())


# ---------------------------------------------------------------- formulas


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


@pytest.mark.parametrize(
    ("shift", "level"), [("eidolonI", "16-10-10"), ("eidolonII", "8-3-10"), ("eidolonIII", "4-0-10")]
)
def test_an_eidolon_is_its_scales_sampled_at_displaced_places(shift: str, level: str) -> None:
    size, padded, before = 64, 128, 32
    scale = size / 256
    reach, c = int(level.split("-")[0]) * scale, int(level.split("-")[1]) / 10
    sigmas = [2 ** (-0.5 + k / 2) for k in range(10)]
    assert sigmas[-1] == size / 4
    g = np.pad(reference_grey(PHOTOGRAPHS)[0], before, mode="reflect")

    def blurred(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
        return np.fft.ifft2(ndimage.fourier_gaussian(np.fft.fft2(plane), sigma)).real

    seed = image_seed(0, "0", shift, level)
    streams = Streams([seed], torch.device("cpu"))

    def noise(sigma: float) -> NDArray[np.float64]:
        planes = streams.normal_pairs(padded, padded)[0].double().numpy()
        planes = planes * 127.5 / np.abs(planes).max((1, 2), keepdims=True)
        planes = np.stack([blurred(plane, sigma) for plane in planes])
        return scale * (planes - planes.mean((1, 2), keepdims=True))

    rows, columns = np.mgrid[:padded, :padded].astype(float)
    result, coherent = np.zeros((padded, padded)), np.zeros((2, padded, padded))
    for k in reversed(range(10)):
        coarse = blurred(g, sigmas[k + 1]) if k < 9 else 0
        fine = blurred(g, sigmas[k]) if k else g
        incoherent = noise(10 * scale) if c < 1 else 0
        if c > 0:
            coherent += noise(sigmas[k]) * sigmas[k] / sigmas[-1]
        x, y = reach * ((1 - c) * incoherent + c * coherent)
        result += ndimage.map_coordinates(fine - coarse, [rows + y, columns + x], order=1, mode="nearest")
    expected = result[None, before:-before, before:-before]
    assert_shows(distort(PHOTOGRAPHS[:1], shift, level), expected, slack=0.01)  # of a grey level: single precision


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


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize(
    "shift", ["contrast", "high-pass", "low-pass", "phase-scrambling", "power-equalisation", "rotation"]
)
@pytest.mark.parametrize("images", [PHOTOGRAPHS, digits(20)], ids=["photographs", "digits"])
def test_a_level_that_changes_nothing_leaves_grey_as_it_is(shift: str, images: Tensor) -> None:
    assert torch.equal(distort(images, shift, SHIFTS[shift].levels[0]), distort(images, "colour", "bw"))


@pytest.mark.parametrize("shift", EIDOLONS)
def test_an_eidolon_without_reach_is_the_grey_image(shift: str) -> None:
    coherence = int(SHIFTS[shift].levels[0].split("-")[1]) / 10
    result = eidolon(PHOTOGRAPHS.double() / 255, 0, coherence, 10, [1, 2])
    np.testing.assert_allclose(result[:, 0], reference_grey(PHOTOGRAPHS), rtol=0, atol=0.01 / 255)


@pytest.mark.parametrize("shift", ORDERED)
@pytest.mark.parametrize("size", [32, 48])
def test_levels_lead_away_from_the_image_one_after_another(shift: str, size: int) -> None:
    images = torch.cat(resized(3 * size).unfold(2, size, size).unfold(3, size, size).flatten(2, 3).unbind(2))
    results = [distort(images, shift, level) for level in SHIFTS[shift].levels]
    away = [difference(results[0], result) for result in results]
    # Beyond its saturation a random shift moves no further, but not back either.
    assert all(later >= 0.95 * earlier for earlier, later in itertools.pairwise(away))
    assert away[len(away) // 2] > 0
    assert away[-1] == pytest.approx(max(away), rel=0.05)


def test_contrast_falls_with_its_level() -> None:
    spread = [float(distort(PHOTOGRAPHS, "contrast", level).double().std()) for level in SHIFTS["contrast"].levels]
    assert spread == sorted(spread, reverse=True)


def test_edges_outline_a_disc_and_a_silhouette_fills_it() -> None:
    size = 96
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = np.hypot(x, y)
    disc = np.where(radius < 30, 0.8, 0.2)[None, None] + np.array([0.1, 0.0, -0.1])[None, :, None, None]
    images = torch.from_numpy((disc * 255).round().astype(np.uint8))
    edges = distort(images, "edge", "0")[0, 0].numpy() == 0
    assert edges.any()
    assert np.abs(radius[edges] - 30).max() < 2
    sectors = np.round(np.arctan2(y, x)[edges] * 18 / np.pi)
    assert len(np.unique(sectors)) >= 36  # all around
    assert edges.sum() < 3 * 2 * np.pi * 30  # a line
    filled = distort(images, "silhouette", "0")[0, 0].numpy() == 0
    assert (filled != (radius < 30)).mean() < 0.02


@pytest.mark.parametrize("shift", ["edge", "silhouette", "sketch"])
def test_a_plain_image_has_nothing_to_draw(shift: str) -> None:
    plain = torch.full((1, 3, 32, 32), 100, dtype=torch.uint8)
    assert (distort(plain, shift, "0") == 255).all()


def test_a_silhouette_finds_the_flower() -> None:
    flower = distort(resized(128)[1:], "silhouette", "0")[0, 0] == 0
    assert flower[54:74, 54:74].all()
    assert not flower[:10].any()
    assert 0.2 < float(flower.double().mean()) < 0.7


def test_a_stylized_image_has_the_partners_amplitudes_and_the_contents_phases() -> None:
    content, partner = (PHOTOGRAPHS.double() / 255).unbind(0)
    result = np.fft.fft2(stylized(content[None], partner[None])[0].numpy())
    np.testing.assert_allclose(np.abs(result), np.abs(np.fft.fft2(partner.numpy())), atol=1e-8)
    own = np.angle(np.fft.fft2(reference_grey(PHOTOGRAPHS[:1])[0]))
    sure = np.abs(result).min(0) > 1e-3
    assert np.abs(np.angle(result * np.exp(-1j * own)))[:, sure].max() < 1e-6


def test_a_cue_conflict_has_the_contents_layout_and_the_partners_colour() -> None:
    images = resized(96)
    result = distort(images, "cue-conflict", "0").double()
    coarse = torch.nn.functional.avg_pool2d(result.mean(1, keepdim=True), 8).flatten(1)
    content = torch.nn.functional.avg_pool2d(images.double().mean(1, keepdim=True), 8).flatten(1)
    own = [float(torch.corrcoef(torch.stack([coarse[i], content[i]]))[0, 1]) for i in range(2)]
    others = [float(torch.corrcoef(torch.stack([coarse[i], content[1 - i]]))[0, 1]) for i in range(2)]
    assert min(own) > 0.6
    assert max(others) < min(own)
    warmth = (result[:, 0] - result[:, 2]).mean((1, 2))
    assert warmth[0] > warmth[1]  # the flower is orange, the sky over the temple is not


# ---------------------------------------------------------------- determinism

MANY = torch.cat([resized(16), digits(10).repeat_interleave(2, 2).repeat_interleave(2, 3)])
IDS = tuple(f"image-{i}" for i in range(len(MANY)))


@given(st.lists(st.integers(0, len(MANY) - 1), min_size=1, max_size=6), st.sampled_from(EVERY), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_shifted_image_is_the_same_in_any_batch_and_order(
    chosen: list[int], what: tuple[str, str], seed: int
) -> None:
    stimuli = ArrayStimuli("some", ("a", "b"), IDS, torch.arange(len(MANY)) % 2, "fixed", array=MANY)
    images = shifted(stimuli, *what, seed=seed)
    assert torch.equal(images.pixels(chosen), images.pixels(range(len(MANY)))[chosen])


@pytest.mark.parametrize("what", [("phase-scrambling", "90"), ("uniform-noise", "0.10"), ("eidolonI", "16-10-10")])
def test_seed_id_shift_and_level_choose_the_noise(what: tuple[str, str]) -> None:
    shift, level = what
    first = distort(PHOTOGRAPHS, shift, level)
    assert torch.equal(first, distort(PHOTOGRAPHS, shift, level))
    assert not torch.equal(first, distort(PHOTOGRAPHS, shift, level, seed=1))
    same = distort(PHOTOGRAPHS[:1].repeat(2, 1, 1, 1), shift, level)
    assert not torch.equal(same[0], same[1])
    others = {image_seed(s, i, n, v) for s in (0, 1) for i in "ab" for n in ("x", "y") for v in "01"}
    assert len(others) == 16
    assert all(0 <= seed < 2**63 for seed in others)


def test_seeds_may_come_as_a_tensor() -> None:
    first = apply(PHOTOGRAPHS, "uniform-noise", "0.10", seeds=torch.tensor([7, 2**62]))
    assert torch.equal(first, apply(PHOTOGRAPHS, "uniform-noise", "0.10", seeds=[7, 2**62]))


# ---------------------------------------------------------------- paired data sets


@dataclass
class Photographs(Stimuli):
    """Of two sizes, as a folder's are."""

    images: list[Image.Image] = field(default_factory=list)

    def image(self, i: int) -> Image.Image:
        return self.images[i]


@pytest.fixture
def photographs() -> Photographs:
    images = [Image.fromarray(image) for image in load_sample_images().images]
    images[1] = images[1].crop((0, 0, 300, 420))
    return Photographs(
        "photographs", ("temple", "flower"), ("1.jpg", "2.jpg"), torch.tensor([0, 1]), "two", images=images
    )


@pytest.mark.parametrize("what", EVERY, ids="/".join)
def test_every_level_of_every_shift_is_paired_with_the_undistorted_images(what: tuple[str, str]) -> None:
    base = load(ShapesConfig(stimuli=20, size=16), "test")
    images = shifted(base, *what)
    assert (images.ids, images.classes, len(images)) == (base.ids, base.classes, 20)
    assert torch.equal(images.labels, base.labels)
    assert images.name == f"shapes/{what[0]}/{what[1]}"
    assert images.pixels([3, 1]).shape == (2, 3, 16, 16)
    assert images.pixels([]).shape == (0, 3, 16, 16)
    assert np.array_equal(np.array(images.image(3)), images.pixels([3])[0].permute(1, 2, 0).numpy())
    assert images.analogue is False


def test_fingerprints_tell_shift_level_seed_and_images_apart() -> None:
    base, other = load(ShapesConfig(stimuli=20), "test"), load(ShapesConfig(stimuli=20, seed=1), "test")
    prints = [shifted(base, *what).fingerprint for what in EVERY]
    prints += [shifted(base, "colour", "bw", seed=1).fingerprint, shifted(other, "colour", "bw").fingerprint]
    assert len({*prints, base.fingerprint}) == len(EVERY) + 3
    assert shifted(base, "colour", "bw").fingerprint == prints[1]


@pytest.mark.parametrize("shift", ANALOGUES)
def test_shapes_draw_natively_what_photographs_only_imitate(shift: str, photographs: Photographs) -> None:
    base = load(ShapesConfig(stimuli=32, seed=4), "test")
    drawn = load(ShapesConfig(stimuli=32, seed=4, rendering=NATIVE[shift]), "test")
    images = shifted(base, shift, "0")
    assert torch.equal(images.pixels(range(32)), drawn.pixels(range(32)))  # type: ignore[arg-type]
    assert images.native
    assert not images.analogue
    assert shifted(photographs, shift, "0").analogue


def test_photographs_of_any_size_are_shifted_as_crops_of_224(photographs: Photographs) -> None:
    crops = square(photographs)
    pixels = crops.pixels([0, 1])
    assert pixels is not None
    assert pixels.shape == (2, 3, 224, 224)
    kept = shifted(photographs, "colour", "cr")
    assert torch.equal(kept.pixels([1, 0]), pixels.flip(0))
    assert crops.ids == photographs.ids
    assert crops.fingerprint != photographs.fingerprint
    middle = photographs.images[0].resize((round(640 * 256 / 427), 256), Image.Resampling.BILINEAR)
    left = (middle.width - 224) // 2
    assert np.array_equal(np.array(crops.image(0)), np.array(middle.crop((left, 16, left + 224, 240))))
    assert square(crops) is crops


def test_partners_are_other_images_and_of_another_class_where_cues_conflict() -> None:
    labels = torch.tensor([0, 1, 1, 2, 0, 1, 1, 1, 2, 1, 1, 1])
    base = ArrayStimuli("some", ("a", "b", "c"), IDS, labels, "labelled", array=MANY)
    own = torch.arange(len(MANY))
    met: set[tuple[int, int]] = set()
    for seed in range(30):
        styled, conflict = shifted(base, "stylized", "0", seed), shifted(base, "cue-conflict", "0", seed)
        assert styled.partners is not None
        assert conflict.partners is not None
        assert (styled.partners != own).all()
        assert (labels[conflict.partners] != labels).all()
        met |= set(zip(own.tolist(), conflict.partners.tolist(), strict=True))
    possible = {(i, j) for i in own.tolist() for j in own.tolist() if labels[i] != labels[j]}
    assert met <= possible
    assert len(met) > 0.9 * len(possible)


def test_statistics_are_those_of_all_images_however_they_come() -> None:
    g = reference_grey(MANY)
    for parts in (MANY.split(5), MANY.split(12)):
        statistics = measure(parts)
        assert statistics.mean_grey == pytest.approx(g.mean(), abs=1e-12)
        np.testing.assert_allclose(statistics.amplitude, np.abs(np.fft.rfft2(g)).mean(0), atol=1e-9)


# ---------------------------------------------------------------- names


def test_the_levels_are_the_benchmarks_in_any_of_its_spellings() -> None:
    assert len(SHIFTS) == 17
    assert sum(shift.analogue for shift in SHIFTS.values()) == 5
    assert [SHIFTS["low-pass"].level(token) for token in ("3.0", "3", "40.0")] == ["3", "3", "40"]
    assert SHIFTS["uniform-noise"].level("0.1") == "0.10"
    assert SHIFTS["high-pass"].level("1.0") == "1"
    assert SHIFTS["false-colour"].level("True") == "true"
    assert SHIFTS["contrast"].level("c5") == "c05"
    assert shifted(load(ShapesConfig(stimuli=4), "test"), "low-pass", "3.0").level == "3"


def test_the_levels_that_the_benchmark_averages_are_a_stretch_of_all() -> None:
    averaged = {name: shift.averaged for name, shift in SHIFTS.items()}
    assert averaged["contrast"] == ("c50", "c30", "c15", "c10", "c05")
    assert averaged["high-pass"] == ("3", "1.5", "1", "0.7")
    assert averaged["low-pass"] == ("1", "3", "5", "7", "10")
    assert averaged["phase-scrambling"] == ("30", "60", "90", "120")
    assert averaged["rotation"] == ("90", "180", "270")
    assert averaged["eidolonI"] == ("2-10-10", "4-10-10", "8-10-10", "16-10-10", "32-10-10")
    assert averaged["eidolonII"] == ("2-3-10", "4-3-10", "8-3-10", "16-3-10")
    assert averaged["eidolonIII"] == ("2-0-10", "4-0-10", "8-0-10")
    assert averaged["uniform-noise"] == ("0.03", "0.05", "0.10", "0.20", "0.35")
    assert all(set(averaged[name]) <= set(shift.levels) for name, shift in SHIFTS.items())


@pytest.mark.parametrize(
    ("shift", "level", "named"),
    [("blur", "1", "low-pass"), ("low-pass", "2", "0, 1, 3, 5"), ("colour", "grey", "cr, bw")],
)
def test_an_unknown_shift_or_level_is_refused_with_the_choices(shift: str, level: str, named: str) -> None:
    base = load(ShapesConfig(stimuli=4), "test")
    for refused in (lambda: shifted(base, shift, level), lambda: apply(PHOTOGRAPHS, shift, level, seeds=[0, 1])):
        with pytest.raises(UserError) as error:
            refused()
        message = str(error.value)
        assert named in message
        assert message.endswith(".")
        assert "\n" not in message


def test_images_that_cannot_be_shifted_are_refused() -> None:
    for images in (PHOTOGRAPHS[:, :, :20], PHOTOGRAPHS[:, :, :4, :4]):
        with pytest.raises(UserError, match="square ones of at least 8 x 8"):
            apply(images, "colour", "bw", seeds=[0, 1])


def test_textures_of_others_need_others() -> None:
    alone = ArrayStimuli("one", ("a",), IDS[:1], torch.tensor([0]), "one", array=MANY[:1])
    alike = ArrayStimuli("alike", ("a",), IDS[:3], torch.tensor([0, 0, 0]), "alike", array=MANY[:3])
    with pytest.raises(UserError, match="at least two images"):
        shifted(alone, "stylized", "0")
    with pytest.raises(UserError, match="two classes"):
        shifted(alike, "cue-conflict", "0")
    assert shifted(alike, "stylized", "0").pixels([0]).shape == (1, 3, 16, 16)


def test_missing_statistics_are_told_apart_from_bad_input() -> None:
    with pytest.raises(ValueError, match="statistics"):
        apply(PHOTOGRAPHS, "low-pass", "3", seeds=[0, 1])
    fine = apply(PHOTOGRAPHS, "low-pass", "3", seeds=[0, 1], statistics=Statistics(0.4423, torch.empty(0)))
    assert fine.dtype == torch.uint8
