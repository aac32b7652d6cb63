"""What shifts change and what they leave, what their noise hangs on, and the names of their levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convergence.stimuli.base import ArrayStimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.stimuli.shifts import SHIFTS, Statistics, apply, image_seed, shifted
from convergence.stimuli.shifts.analogues import stylized
from convergence.stimuli.shifts.eidolon import eidolon
from convergence.system.errors import UserError
from tests.support.photographs import (
    EIDOLONS,
    EVERY,
    IDS,
    MANY,
    ORDERED,
    PHOTOGRAPHS,
    difference,
    digits,
    distort,
    reference_grey,
    resized,
)


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


@given(st.lists(st.integers(0, len(MANY) - 1), min_size=1, max_size=6), st.sampled_from(EVERY), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_shifted_image_is_the_same_in_any_batch_and_order(
    chosen: list[int], what: tuple[str, str], seed: int
) -> None:
    stimuli = ArrayStimuli("some", ("a", "b"), IDS, torch.arange(len(MANY)) % 2, "fixed", array=MANY)
    images = shifted(stimuli, *what, seed=seed)
    assert torch.equal(images.pixels(chosen), images.pixels(range(len(MANY)))[chosen])


@pytest.mark.parametrize("what", EVERY)
def test_a_shifted_image_is_the_same_on_any_number_of_threads(what: tuple[str, str]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = distort(MANY, *what)
        torch.set_num_threads(len(MANY) + 3)
        assert torch.equal(distort(MANY, *what), alone)
    finally:
        torch.set_num_threads(before)


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
