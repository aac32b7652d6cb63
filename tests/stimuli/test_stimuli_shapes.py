"""The embedded data set: the same on every machine, in every order, and never solved by one cue alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.stimuli.outlines import BINS, tables
from convergence.stimuli.shapes import RENDERINGS, Shapes, worn
from convergence.stimuli.textures import FAMILIES, texture
from convergence.system.errors import UserError

# Of the first 16 test images of seed 0: whoever changes a pixel raises _VERSION in shapes.py and these.
PINNED = {
    "natural": "f87421f8c34f298019797667847e7aebc1806decea3b7cbd123f12e628f52d87",
    "outline": "f71baf95e6f8ceb0b524a5c7a28046d777b1b7d645a0328fdd0df21608312d19",
    "silhouette": "493507c49c533198d46f15c2f503b05271a0c8285cedfb2793241a39aa57be83",
    "sketch": "40968b6ea4bb091c862b67dd8b05f5f978ef9998c2f314e7ec3fa8ac69f8e1cf",
    "texture_swap": "be30a9d501eb38f7cc8b376796aff5e0dbb804226a14f169336e3979ff793a1d",
    "cue_conflict": "3291072a05ab55fe43f37cbd89773ef875dbdcd0c7b4fb488a6b68aee36880dd",
}


def shapes(split: str = "test", **options: object) -> Shapes:
    images = load(ShapesConfig(**options), split)  # type: ignore[arg-type]
    assert isinstance(images, Shapes)
    return images


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_images_are_the_same_on_every_machine(rendering: str) -> None:
    pixels = shapes(rendering=rendering, stimuli=16).pixels(range(16))
    assert hashlib.sha256(pixels.numpy().tobytes()).hexdigest() == PINNED[rendering]


@given(st.lists(st.integers(0, 59), min_size=1, max_size=12), st.integers(60, 90), st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_an_image_depends_on_its_number_and_seed_alone(indices: list[int], count: int, seed: int) -> None:
    few, many = shapes(stimuli=60, seed=seed), shapes(stimuli=count, seed=seed)
    many.pixels(range(0, count, 7))
    alone = torch.stack([few.pixels([i])[0] for i in indices])
    assert torch.equal(many.pixels(indices), alone)
    assert few.ids == many.ids[:60]


def test_seeds_and_splits_give_other_images() -> None:
    first = shapes(stimuli=8).pixels(range(8))
    assert not torch.equal(first, shapes(stimuli=8, seed=1).pixels(range(8)))
    assert not torch.equal(first, shapes("train", train_images=8).pixels(range(8)))
    assert shapes(stimuli=8, seed=-1).pixels([0]).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("size", [8, 33, 96])
def test_any_size_shows_the_same_scene(size: int) -> None:
    images = shapes(stimuli=16, size=size)
    assert images.pixels([3, 1]).shape == (2, 3, size, size)
    assert images.image(0).size == (size, size)
    coarse = torch.nn.functional.interpolate(images.pixels(range(16)).float(), 8, mode="area")
    usual = torch.nn.functional.interpolate(shapes(stimuli=16).pixels(range(16)).float(), 8, mode="area")
    assert (coarse - usual).abs().mean() < 12


def test_images_that_are_too_many_to_keep_are_drawn_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = shapes(stimuli=20).pixels([5, 19])
    monkeypatch.setattr("convergence.stimuli.shapes._KEPT_BYTES", 0)
    assert torch.equal(shapes(stimuli=20).pixels([5, 19]), kept)


def test_no_indices_give_no_images() -> None:
    assert shapes(stimuli=20).pixels([]).shape == (0, 3, 32, 32)


def test_classes_are_balanced_and_named() -> None:
    images = shapes(stimuli=160)
    assert len(images.classes) == 16
    assert images.labels.bincount().tolist() == [10] * 16
    assert len(set(images.ids)) == len(images) == 160


def test_fingerprint_tells_what_pixels_depend_on() -> None:
    options = [{}, {"seed": 1}, {"size": 40}, {"texture_reliability": 0.5}, {"stimuli": 99}]
    options += [{"rendering": r} for r in RENDERINGS[1:]]
    prints = {shapes(**{"stimuli": 100, **o}).fingerprint for o in options}
    assert len(prints) == len(options)
    assert shapes().fingerprint == shapes().fingerprint
    # The reliability of textures is no matter where there are none.
    ink = [shapes(rendering="outline", texture_reliability=r).fingerprint for r in (0.2, 0.9)]
    assert ink[0] == ink[1]


def _worn(count: int = 8000, **options: object) -> tuple[np.ndarray, np.ndarray]:
    label = np.arange(count) % 16
    z = np.random.default_rng(0).random((count, 48))
    return label, worn(ShapesConfig(**options), label, z)  # type: ignore[arg-type]


@pytest.mark.parametrize("reliability", [0.0, 0.3, 0.7, 1.0])
def test_texture_goes_with_class_as_often_as_asked(reliability: float) -> None:
    label, families = _worn(texture_reliability=reliability)
    own = np.mean(families == label % 8)
    assert abs(own - reliability) < 0.02


def test_texture_alone_never_tells_the_class() -> None:
    label, families = _worn(texture_reliability=1.0)
    for family in range(8):
        assert len(set(label[families == family])) == 2


def test_under_cue_conflict_the_texture_is_never_the_classs_own() -> None:
    label, families = _worn(rendering="cue_conflict")
    assert not np.any(families == label % 8)
    assert set(families) == set(range(8))


@pytest.mark.parametrize("rendering", ["outline", "silhouette", "sketch"])
def test_ink_is_grey_on_white_and_where_the_object_is(rendering: str) -> None:
    images = shapes(rendering=rendering, stimuli=64).pixels(range(64)).float()
    assert torch.equal(images[:, 0], images[:, 2])
    assert images.amax(dim=(1, 2, 3)).min() == 255
    dark = 1 - images.mean(dim=(1, 2, 3)) / 255
    assert dark.min() > 0.01
    assert dark.max() < 0.5
    filled = shapes(rendering="silhouette", stimuli=64).pixels(range(64)).float()
    near = torch.nn.functional.max_pool2d(255 - filled, 7, 1, 3)
    assert torch.all((255 - images)[near == 0] == 0)


def test_outlines_have_one_centre_and_area_and_differ() -> None:
    radii = tables()
    assert radii.shape == (16, BINS)
    assert radii.min() > 0.1
    assert np.allclose((radii**2).mean(axis=1), 1)
    turn = np.exp(2j * np.pi * np.arange(BINS) / BINS)
    assert np.abs((radii**3 * turn).mean(axis=1)).max() < 0.02
    apart = [np.abs(radii[i] - radii[j]).mean() for i in range(16) for j in range(i)]
    assert min(apart) > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_textures_stay_between_0_and_1_and_vary(family: str) -> None:
    axis = np.linspace(-1, 1, 64)
    u, v = (np.broadcast_to(g, (20, 64, 64)) for g in np.meshgrid(axis, axis))
    values = texture(family, u, v, np.random.default_rng(0).random((20, 8)))
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.std(axis=(1, 2)).min() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stimuli": None}, r"dataset\.stimuli=null, but dataset=shapes draws as many images as it is told"),
        ({"stimuli": 0}, r"dataset\.stimuli=0"),
        ({"texture_reliability": 1.5}, r"dataset\.texture_reliability=1\.5 is no probability"),
        ({"rendering": "xray"}, r"dataset\.rendering=xray is not known: choose from natural"),
        ({"size": 4}, r"dataset\.size=4 is too small"),
    ],
)
def test_bad_options_get_one_sentence(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        shapes(**options)
