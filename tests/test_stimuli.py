"""Images: the same everywhere, real ones too, and clear words where they are missing or broken."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convergence.config import DatasetConfig, FilesConfig, OnError, ShapesConfig
from convergence.errors import UserError
from convergence.stimuli import load
from convergence.stimuli.shapes import CLASSES, RENDERINGS, _uniforms, conflicting_class, worn
from convergence.stimuli.textures import FAMILIES

FASHION = Path("/usr/share/datasets/fashion-mnist")


def test_shapes_are_the_same_on_every_machine() -> None:
    pixels = load(ShapesConfig(), "test").pixels(range(64))
    assert pixels.shape == (64, 3, 32, 32)
    assert hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16] == "e4872c4aaa49db6e"


def test_image_k_depends_on_neither_the_batch_nor_the_number_of_images() -> None:
    few, many = load(ShapesConfig(stimuli=20), "test"), load(ShapesConfig(stimuli=900), "test")
    assert torch.equal(few.pixels([7, 3]), many.pixels(range(900))[[7, 3]])
    assert few.ids[7] == many.ids[7]


def test_splits_and_seeds_give_other_images() -> None:
    test = load(ShapesConfig(), "test").pixels([0])
    assert not torch.equal(test, load(ShapesConfig(), "train").pixels([0]))
    assert not torch.equal(test, load(ShapesConfig(seed=1), "test").pixels([0]))


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_rendering_draws_the_object_at_any_size(rendering: str) -> None:
    pixels = load(ShapesConfig(rendering=rendering, size=48), "test").pixels(range(32)).float()
    assert pixels.shape == (32, 3, 48, 48)
    assert pixels.flatten(1).std(dim=1).min() > 5


def test_silhouettes_cover_the_same_area_in_every_class() -> None:
    pixels = load(ShapesConfig(rendering="silhouette", stimuli=1600), "test").pixels(range(1600)).float()
    ink = 1 - pixels.mean(dim=(1, 2, 3)) / 255
    by_class = ink.reshape(-1, len(CLASSES)).mean(dim=0)
    assert by_class.max() / by_class.min() < 1.2


def test_conflicting_textures_belong_to_another_class() -> None:
    config = ShapesConfig(rendering="cue_conflict")
    other = conflicting_class(config, "test", range(400))
    assert ((other - torch.arange(400)) % len(FAMILIES) != 0).all()


def test_texture_goes_with_class_with_the_set_probability_and_by_chance_when_swapped() -> None:
    def share(rendering: str, reliability: float) -> float:
        config = ShapesConfig(rendering=rendering, texture_reliability=reliability)
        k = np.arange(4000)
        family = worn(config, k % 16, _uniforms(0, "train", k)[:, :2])
        return float((family == k % len(FAMILIES)).mean())

    assert share("natural", 0.7) == pytest.approx(0.7, abs=0.03)
    assert share("natural", 0.0) == 0
    assert share("texture_swap", 0.7) == pytest.approx(1 / len(FAMILIES), abs=0.03)


def test_unknown_renderings_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset.rendering=xray is not known: choose from natural"):
        load(ShapesConfig(rendering="xray"), "test")


def test_digits_are_real_and_held_out() -> None:
    config = DatasetConfig(name="digits", stimuli=None)
    train, test = load(config, "train"), load(config, "test")
    assert len(train) + len(test) == 1797
    assert not set(train.ids) & set(test.ids)
    assert test.pixels([0]).shape == (1, 3, 32, 32)


def test_a_larger_count_keeps_the_images_of_a_smaller_one() -> None:
    small, large = (load(DatasetConfig(name="digits", stimuli=n), "test") for n in (50, 80))
    assert small.ids == large.ids[:50]


def test_more_images_than_there_are_is_refused_with_their_number() -> None:
    with pytest.raises(UserError, match="the test split of digits has 599 images"):
        load(DatasetConfig(name="digits", stimuli=10_000), "test")


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_found_where_debian_puts_it() -> None:
    stimuli = load(FilesConfig(name="fashion_mnist", stimuli=100, download=False), "test")
    assert stimuli.pixels(range(100)).shape == (100, 3, 32, 32)
    assert len(set(stimuli.labels.tolist())) == 10


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "cifar100"])
def test_a_missing_data_set_says_where_it_looked_and_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{name} was not found in {tmp_path}.*get it with"):
        load(FilesConfig(name=name, root=str(tmp_path), download=False), "test")


def folder_of_classes(root: Path, count: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(root / name / f"{i:02}.png")
    return root


def test_any_folder_of_class_folders_is_a_data_set(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path / "images", 30)
    config = FilesConfig(name="image_folder", root=str(root), stimuli=None)
    train, test = load(config, "train"), load(config, "test")
    assert len(train) + len(test) == 60
    assert test.classes == ("ant", "bee")
    assert not set(train.ids) & set(test.ids)
    assert test.image(0).size == (30, 20)


def test_labels_mean_the_same_class_in_every_split(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "train")
    folder_of_classes(tmp_path / "test")
    for path in (tmp_path / "test" / "ant").iterdir():
        path.unlink()
    (tmp_path / "test" / "ant").rmdir()
    config = FilesConfig(name="image_folder", root=str(tmp_path), stimuli=None)
    train, test = load(config, "train"), load(config, "test")
    assert train.classes == test.classes == ("ant", "bee")
    assert set(test.labels.tolist()) == {1}


def test_a_broken_image_is_named_or_skipped_and_counted(tmp_path: Path) -> None:
    root = folder_of_classes(tmp_path / "test")
    (root / "bee" / "03.png").write_bytes(b"no image")
    config = FilesConfig(name="image_folder", root=str(tmp_path), stimuli=None)
    with pytest.raises(UserError, match=r"bee/03.png cannot be read as an image"):
        load(config, "test")
    config.on_error = OnError.skip
    stimuli = load(config, "test")
    assert (len(stimuli), stimuli.skipped) == (23, 1)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"looked in nowhere, which is no folder"):
        load(FilesConfig(name="image_folder", root="nowhere"), "test")
    with pytest.raises(UserError, match=r"val/<wnid>.*image-net.org"):
        load(FilesConfig(name="imagenet"), "test")
