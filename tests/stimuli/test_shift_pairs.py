"""A shifted data set is paired with the images that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from convergence.stimuli.base import ArrayStimuli, Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.stimuli.shifts import NATIVE, measure, shifted, square
from tests.support.photographs import ANALOGUES, EVERY, IDS, MANY, reference_grey


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


def test_an_image_is_decoded_once_for_all_shifts_and_levels(
    photographs: Photographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    decode = Photographs.image
    monkeypatch.setattr(Photographs, "image", lambda self, i: (asked.append(i), decode(self, i))[1])
    base = replace(photographs, fingerprint="decoded once")
    sets = [shifted(base, *what) for what in (("contrast", "c50"), ("contrast", "c30"), ("stylized", "0"))]
    for images in sets:
        for i in (0, 1):
            images.pixels([i])
    assert sorted(asked) == [0, 1]
