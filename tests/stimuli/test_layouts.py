"""Folders of images as people have them: each layout gives its images, classes and labels, and no clutter."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from convergence.stimuli.imagenet import class_order
from convergence.stimuli.load import load
from convergence.stimuli.options import FilesConfig, OnError
from convergence.system.errors import UserError


def draw(root: Path, *places: str) -> None:
    """Small images at these places, each of another colour."""
    for place in places:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        number = sum(place.encode())
        Image.new("RGB", (9, 8), (number % 256, number // 7 % 256, len(place))).save(path, format="PNG")


def options(root: Path, **more: object) -> FilesConfig:
    return FilesConfig(**{"name": "image_folder", "root": str(root), "stimuli": None, **more})  # type: ignore[arg-type]


def labelled(root: Path, split: str = "all", **more: object) -> dict[str, str]:
    """The class of each image that is found, "" where it has none."""
    images = load(options(root, **more), split)
    names = [images.classes[label] if label >= 0 else "" for label in images.labels.tolist()]
    return dict(sorted(zip(images.ids, names, strict=True)))


LAYOUTS = {
    "flat": (["b.png", "a.JPG", "c.TIF"], {"a.JPG": "", "b.png": "", "c.TIF": ""}),
    "one image per class": (["cat/1.png", "ant/7.png"], {"ant/7.png": "ant", "cat/1.png": "cat"}),
    "deeper": (["c/x/1.png", "c/2.png", "ant/y/3.png"], {"ant/y/3.png": "ant", "c/2.png": "c", "c/x/1.png": "c"}),
    "splits of classes": (["train/a/1.png", "train/b/2.png", "val/b/3.png"], {"b/3.png": "b"}),
    "valid": (["train/a/1.png", "train/b/2.png", "valid/a/3.png"], {"a/3.png": "a"}),
    "splits in capitals": (["Train/a/1.png", "Train/b/2.png", "Test/b/3.png"], {"b/3.png": "b"}),
    "flat splits": (["train/1.png", "test/2.png"], {"2.png": ""}),
    "a split alone": (["train/a/1.png", "train/b/2.png"], {"a/1.png": "a", "b/2.png": "b"}),
    "classes called train and car": (["train/1.png", "car/2.png"], {"car/2.png": "car", "train/1.png": "train"}),
    "an archive's own folder": (["set/cat/1.png", "set/ant/2.png"], {"ant/2.png": "ant", "cat/1.png": "cat"}),
    "clutter": (
        ["a/1.png", "b/2.png", "a/._1.png", ".DS_Store", "__MACOSX/a/1.png", "b/Thumbs.db", "b/desktop.ini", ".x/y"],
        {"a/1.png": "a", "b/2.png": "b"},
    ),
    "odd names": (["a\tb/1.png", "a,b/2.png", "ä/3.png"], {"ä/3.png": "ä", "a\tb/1.png": "a\tb", "a,b/2.png": "a,b"}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_read_as_it_lies(layout: str, tmp_path: Path) -> None:
    places, expected = LAYOUTS[layout]
    draw(tmp_path, *places)
    assert labelled(tmp_path) == dict(sorted(expected.items()))


def test_class_folders_that_are_numbers_are_in_numerical_order(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{i}/{i}.png" for i in range(12)))
    images = load(options(tmp_path), "all")
    assert images.classes == tuple(map(str, range(12)))
    assert sorted(images.labels.tolist()) == list(range(12))


def test_a_thousand_numbers_are_imagenets_classes(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{i}/x.png" for i in range(1000)))
    images = load(options(tmp_path, stimuli=40), "all")
    assert images.classes == class_order()
    assert [int(i.split("/")[0]) for i in images.ids] == images.labels.tolist()


def test_every_image_is_a_stimulus_unless_networks_are_trained_on_the_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw(tmp_path, *(f"{name}/{i}.png" for name in "ab" for i in range(10)))
    caplog.set_level(logging.INFO, "convergence")
    assert len(load(options(tmp_path), "all")) == 20
    assert f"20 of 20 images of {tmp_path} are stimuli" in caplog.text
    train, test = load(options(tmp_path), "train"), load(options(tmp_path), "test")
    assert (len(train), len(test)) == (16, 4)
    assert "4 of 20 images" in caplog.text
    assert "held out from training" in caplog.text
    assert len(load(options(tmp_path, stimuli=7), "all")) == 7
    assert "7 of 20" in caplog.text
    assert "dataset.stimuli=7" in caplog.text


def test_what_lies_beside_the_classes_is_left_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(tmp_path, "a/1.png", "b/2.png", "preview.png")
    assert set(labelled(tmp_path)) == {"a/1.png", "b/2.png"}
    assert "preview.png" in caplog.text


@pytest.mark.parametrize("places", [["1.png", "2.png", "more/3.png"], ["0.png", "a/1.png", "b/2.png"]])
def test_what_is_left_out_is_said_once(places: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draw(tmp_path, *places)
    for _ in range(3):  # a run looks at its images more than once
        load(options(tmp_path), "all")
    assert caplog.text.count("left out") == 1


def test_one_image_of_each_class_cannot_be_trained_on(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(UserError, match="none can be held out"):
        load(options(tmp_path), "test")


@pytest.mark.parametrize(
    ("ending", "separator"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("tsv", "\t"), ("parquet", "")]
)
def test_a_table_names_paths_ids_and_labels(ending: str, separator: str, tmp_path: Path) -> None:
    draw(tmp_path, "x/1.png", "x/2.png", "3.png")
    table = pd.DataFrame({"File": ["x/2.png", "3.png", "x/1.png"], "Image_ID": [7, 8, 9], "Class": ["b", "a", "b"]})
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep=separator)
    config = FilesConfig(name="image_folder", stimuli=None, table=str(path))
    images = load(config, "all")
    named = {i: images.classes[label] for i, label in zip(images.ids, images.labels.tolist(), strict=True)}
    assert named == {"7": "b", "8": "a", "9": "b"}
    shown = images.image(images.ids.index("8"))
    assert np.array_equal(shown, Image.open(tmp_path / "3.png"))
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / path.name)
    again = load(FilesConfig(name="image_folder", stimuli=None, table=str(moved), root=str(tmp_path)), "all")
    assert again.fingerprint == images.fingerprint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"photo": ["1.png"]}, "has no column path (it has photo)"),
        ({"path": ["1.png", "2.png", "3.png"]}, "2 of 3 files are missing, the first"),
        ({"path": ["1.png", "1.png"]}, "names 1.png twice"),
        ({"path": []}, "has no rows"),
    ],
)
def test_a_table_that_will_not_do_is_refused_in_a_sentence(rows: dict, message: str, tmp_path: Path) -> None:
    draw(tmp_path, "1.png")
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError) as refused:
        load(FilesConfig(name="image_folder", table=str(tmp_path / "t.csv")), "all")
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["t.xlsx", "missing.csv"])
def test_tables_of_other_kinds_and_missing_ones_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name):
        load(FilesConfig(name="image_folder", table=str(tmp_path / name)), "all")


def test_paths_as_windows_writes_them_are_found(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/2.png", "c\\3.png")
    pd.DataFrame({"path": ["a\\1.png", "b/2.png", "c\\3.png"]}).to_csv(tmp_path / "t.csv", index=False)
    images = load(FilesConfig(name="image_folder", stimuli=None, table=str(tmp_path / "t.csv")), "all")
    assert sorted(images.ids) == ["a/1.png", "b/2.png", "c\\3.png"], "a name with a backslash of its own stays"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("set.zip", "is an archive, not a folder of images: unpack it, and name the folder that comes out"),
        ("set.tar.gz", "is an archive, not a folder of images: unpack it"),
        ("images.csv", r"is a table, not a folder of images: give it as dataset.table=.*images\.csv"),
        ("1.png", "is a file, not a folder of images: name its folder"),
        ("empty", "has no images, in class folders or flat: looked for .jpg, .png, .tif, .webp, .bmp and [0-9]+ other"),
    ],
)
def test_what_is_no_folder_of_images_says_what_to_do(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    if name != "empty":
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(UserError, match=sentence) as refused:
        load(options(tmp_path / name), "all")
    assert len(str(refused.value)) < 150 + 2 * len(str(tmp_path))


def test_an_empty_file_is_broken_and_can_be_skipped(tmp_path: Path) -> None:
    draw(tmp_path, "1.png", "2.png")
    (tmp_path / "3.png").touch()
    with pytest.raises(UserError, match=r"3\.png cannot be read"):
        load(options(tmp_path), "all")
    assert len(load(options(tmp_path, on_error=OnError.skip), "all")) == 2


def test_what_is_no_image_is_refused_without_an_address_in_memory(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"1\.png cannot be read as an image \(its content is of no format"):
        load(options(tmp_path), "all")


def test_links_are_followed_unless_they_lead_back_or_nowhere(tmp_path: Path) -> None:
    draw(tmp_path / "far", "a/1.png", "b/2.png")
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in "ab":
        (linked / name).symlink_to(tmp_path / "far" / name)
    (linked / "back").symlink_to(linked)
    (tmp_path / "far" / "a" / "up").symlink_to(tmp_path)
    (linked / "itself").symlink_to(linked / "itself")
    (linked / "gone.png").symlink_to(tmp_path / "nothing.png")
    assert labelled(linked) == {"a/1.png": "a", "b/2.png": "b"}


def test_files_of_one_size_have_pixels_of_that_size(tmp_path: Path) -> None:
    for i in range(4):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / f"{i}.png")
    images = load(options(tmp_path), "all")
    pixels = images.pixels([0, 2])
    assert pixels is not None
    assert pixels.shape == (2, 3, 32, 32)
    assert torch.equal(pixels[1], torch.from_numpy(np.array(images.image(2))).permute(2, 0, 1))
    Image.new("RGB", (32, 31)).save(tmp_path / "other.png")
    assert load(options(tmp_path), "all").pixels([0]) is None
