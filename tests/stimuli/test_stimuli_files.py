"""Folders of images: found, split, labelled and refused as they should be."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convergence.stimuli.load import load
from convergence.stimuli.options import FilesConfig, OnError
from convergence.system.errors import UserError


def draw_images(folder: Path, count: int, size: tuple[int, int] = (12, 10)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        seed = sum(folder.as_posix().encode()) + i
        noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i:03d}.png")


def folder_config(root: Path, **options: object) -> FilesConfig:
    return FilesConfig(**{"name": "image_folder", "root": str(root), "stimuli": None, **options})  # type: ignore[arg-type]


# ------------------------------------------------------------------ folders


def test_a_folder_of_class_folders_is_split_by_class_without_overlap(tmp_path: Path) -> None:
    for name, count in (("ant", 10), ("bee", 25), ("cat", 2)):
        draw_images(tmp_path / name, count)
    config = folder_config(tmp_path)
    train, test = load(config, "train"), load(config, "test")
    assert train.classes == test.classes == ("ant", "bee", "cat")
    assert not set(train.ids) & set(test.ids)
    assert len(train) + len(test) == 37
    assert test.labels.bincount().tolist() == [2, 5, 1]
    assert all(i.split("/")[0] == test.classes[c] for i, c in zip(test.ids, test.labels.tolist(), strict=True))


def test_another_seed_splits_a_folder_otherwise(tmp_path: Path) -> None:
    draw_images(tmp_path / "ant", 30)
    draw_images(tmp_path / "bee", 30)
    first, second = (load(folder_config(tmp_path, seed=s), "test") for s in (0, 1))
    assert set(first.ids) != set(second.ids)
    assert load(folder_config(tmp_path), "test").ids == first.ids


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_split_folders_are_used_where_they_are(tmp_path: Path, name: str) -> None:
    draw_images(tmp_path / "train" / "ant", 3)
    draw_images(tmp_path / "train" / "bee", 4)
    draw_images(tmp_path / name / "bee", 2)
    config = folder_config(tmp_path)
    assert len(load(config, "train")) == 7
    test = load(config, "test")
    assert test.labels.tolist() == [1, 1], "labels number the training folder's classes"
    assert test.classes == ("ant", "bee")


def test_held_out_classes_that_training_lacks_are_refused(tmp_path: Path) -> None:
    draw_images(tmp_path / "train" / "ant", 3)
    draw_images(tmp_path / "test" / "wasp", 2)
    with pytest.raises(UserError, match=r"has the class wasp, which .*train has not"):
        load(folder_config(tmp_path), "test")


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        draw_images(tmp_path / name, 5)
    assert load(folder_config(tmp_path), "train").classes == ("bus", "train")


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    draw_images(tmp_path / "val" / "ant", 3)
    with pytest.raises(UserError, match="has no folder train with class folders"):
        load(folder_config(tmp_path), "train")


def test_files_have_pixels_of_their_own_size(tmp_path: Path) -> None:
    draw_images(tmp_path / "test" / "ant", 2, size=(12, 10))
    images = load(folder_config(tmp_path), "test")
    assert images.pixels([0]) is None
    assert images.image(0).mode == "RGB"
    assert images.image(0).size == (10, 12)


def test_fingerprint_follows_content_and_not_time_or_place(tmp_path: Path) -> None:
    for root in ("a", "b"):
        draw_images(tmp_path / root / "test" / "ant", 3)
        for i in range(3):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / root / "test" / "ant" / f"{i:03d}.png")
    first, second = (load(folder_config(tmp_path / root), "test") for root in ("a", "b"))
    assert first.fingerprint == second.fingerprint
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "b" / "test" / "ant" / "001.png")
    assert load(folder_config(tmp_path / "b"), "test").fingerprint != first.fingerprint
    draw_images(tmp_path / "a" / "train" / "aardvark", 1)
    draw_images(tmp_path / "a" / "train" / "ant", 1)
    assert load(folder_config(tmp_path / "a"), "test").fingerprint != first.fingerprint, "labels changed"


def break_image(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-60])
    else:
        path.write_bytes(b"" if how == "empty" else b"<html>not found</html>")


@pytest.mark.parametrize("how", ["truncated", "empty", "not an image"])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_broken_image_is_named_by_its_file(tmp_path: Path, how: str, ending: str) -> None:
    draw_images(tmp_path / "test" / "ant", 4, size=(64, 64))
    bad = tmp_path / "test" / "ant" / f"bad.{ending}"
    Image.open(tmp_path / "test" / "ant" / "000.png").save(bad)
    break_image(bad, how)
    with pytest.raises(UserError, match=rf"ant/bad\.{ending} cannot be read as an image .*dataset\.on_error=skip") as e:
        load(folder_config(tmp_path), "test")
    assert str(e.value).count("bad.") == 1


def test_broken_images_are_skipped_counted_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw_images(tmp_path / "test" / "ant", 20)
    good = load(folder_config(tmp_path, stimuli=10), "test")
    for name in good.ids[2], good.ids[7]:
        break_image(tmp_path / "test" / name, "not an image")
    config = folder_config(tmp_path, stimuli=10, on_error=OnError.skip)
    with caplog.at_level(logging.WARNING, "convergence"):
        left = load(config, "test")
    assert (len(left), left.skipped) == (10, 2)
    assert "2 broken images" in caplog.text
    assert [i for i in left.ids if i in good.ids] == [i for i in good.ids if i not in (good.ids[2], good.ids[7])]
    everything = load(folder_config(tmp_path, on_error=OnError.skip), "test")
    assert (len(everything), everything.skipped) == (18, 2)
    with pytest.raises(UserError, match=r"dataset\.stimuli=19, but .*without 2 broken ones\) has 18 images"):
        load(folder_config(tmp_path, stimuli=19, on_error=OnError.skip), "test")


def test_an_image_that_breaks_later_is_still_named(tmp_path: Path) -> None:
    draw_images(tmp_path / "test" / "ant", 2)
    images = load(folder_config(tmp_path), "test")
    break_image(tmp_path / "test" / images.ids[1], "truncated")
    with pytest.raises(UserError, match="cannot be read as an image"):
        images.image(1)


def test_images_of_all_modes_become_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "test" / "ant"
    folder.mkdir(parents=True)
    for mode in ("L", "LA", "RGBA", "P", "1", "CMYK"):
        Image.new(mode, (9, 9)).save(folder / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}")
    images = load(folder_config(tmp_path), "test")
    assert {images.image(i).mode for i in range(len(images))} == {"RGB"}
    assert len(images) == 6


@pytest.mark.parametrize("name", ["image_folder", "my_birds"])
def test_a_missing_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"dataset={name} looked in .*nowhere, which is no folder"):
        load(folder_config(tmp_path / "nowhere", name=name), "test")
    with pytest.raises(UserError, match=r"name it with dataset\.root=PATH"):
        load(FilesConfig(name=name), "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no images, in class folders or flat"):
        load(folder_config(tmp_path / "empty"), "test")


def test_imagenet_compares_val_by_wnid_and_ignores_the_unlabelled_test_folder(tmp_path: Path) -> None:
    draw_images(tmp_path / "val" / "n01440764", 3)
    draw_images(tmp_path / "val" / "n01443537", 3)
    draw_images(tmp_path / "test" / "all", 3)
    images = load(folder_config(tmp_path, name="imagenet"), "test")
    assert images.name == "imagenet"
    assert images.classes == ("n01440764", "n01443537")
    assert len(images) == 6


def test_missing_imagenet_says_where_it_looked_and_how_to_get_it(tmp_path: Path) -> None:
    for root in (None, str(tmp_path)):
        with pytest.raises(UserError, match=r"dataset=imagenet looked in .*image-net\.org.*dataset\.root=PATH"):
            load(FilesConfig(name="imagenet", root=root), "test")
