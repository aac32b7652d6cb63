"""Data sets on disk: found, split, labelled and refused as they should be."""

from __future__ import annotations

import gzip
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convergence.stimuli import archives
from convergence.stimuli.base import select
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig, FilesConfig, OnError
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
    with pytest.raises(UserError, match="empty has no images in class folders"):
        load(folder_config(tmp_path / "empty"), "test")


# ------------------------------------------------------------------ ImageNet


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


# ------------------------------------------------------------------ archives


def test_digits_are_real_and_their_splits_apart() -> None:
    config = DatasetConfig(name="digits", stimuli=None)
    train, test = load(config, "train"), load(config, "test")
    assert len(train) + len(test) == 1797
    assert not {i.split("-")[-1] for i in train.ids} & {i.split("-")[-1] for i in test.ids}
    pixels = test.pixels(range(len(test)))
    assert pixels is not None
    assert pixels.shape == (599, 3, 32, 32)
    assert int(pixels.max()) == 255
    assert test.labels.bincount().min() > 30
    # The mean image of a digit is nearest to images of that digit more often than not: labels and images agree.
    flat, training = pixels.float().flatten(1), train.pixels(range(len(train))).float().flatten(1)  # type: ignore[union-attr]
    means = torch.stack([training[train.labels == c].mean(0) for c in range(10)])
    assert (torch.cdist(flat, means).argmin(1) == test.labels).float().mean() > 0.8


def test_a_choice_of_digits_is_the_beginning_of_a_larger_one() -> None:
    few, many = (load(DatasetConfig(name="digits", stimuli=n), "test") for n in (50, 300))
    assert many.ids[:50] == few.ids
    assert torch.equal(many.pixels(range(50)), few.pixels(range(50)))  # type: ignore[arg-type]
    assert few.fingerprint != many.fingerprint
    assert few.ids[:3] == ("digits-test-488", "digits-test-557", "digits-test-968"), "the same on every machine"


def test_asking_for_too_many_says_how_many_there_are() -> None:
    with pytest.raises(UserError, match=r"dataset\.stimuli=600, but the test split of digits has 599 images"):
        load(DatasetConfig(name="digits", stimuli=600), "test")
    with pytest.raises(UserError, match=r"dataset\.train_images=0 leaves no images"):
        load(DatasetConfig(name="digits", train_images=0), "train")


@given(st.integers(1, 60), st.integers(0, 60), st.integers(-5, 5))
@settings(max_examples=30, deadline=None)
def test_a_selection_is_a_shuffle_and_grows_at_its_end(total: int, count: int, seed: int) -> None:
    labels = torch.zeros(total)
    every = select(labels, None, seed, "x", "test").tolist()
    assert sorted(every) == list(range(total))
    wanted = min(max(count, 1), total)
    assert select(labels, wanted, seed, "x", "test").tolist() == every[:wanted]


def write_fashion(folder: Path, *, packed: bool, count: int = 12) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)


def fashion_config(root: Path | None, **options: object) -> FilesConfig:
    given = None if root is None else str(root)
    return FilesConfig(**{"name": "fashion_mnist", "root": given, "stimuli": None, "download": False, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", [".", "FashionMNIST/raw"])
def test_fashion_mnist_is_read_where_torchvision_or_the_user_put_it(tmp_path: Path, packed: bool, inside: str) -> None:
    write_fashion(tmp_path / "root" / inside, packed=packed)
    images = load(fashion_config(tmp_path / "root"), "test")
    pixels = images.pixels(range(12))
    assert pixels is not None
    assert pixels.shape == (12, 3, 32, 32)
    assert int(pixels[:, :, :2].max()) == 0, "padded, not stretched"
    assert images.classes[9] == "Ankle boot"
    assert [int(i.rsplit("-", 1)[1]) % 10 for i in images.ids] == images.labels.tolist()


def test_fashion_mnist_is_found_without_being_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(archives, "_DEBIAN_FASHION", tmp_path / "debian")
    with pytest.raises(UserError, match=r"was not found in .*debian.*apt-get install dataset-fashion-mnist"):
        load(fashion_config(None), "test")
    write_fashion(tmp_path / "debian", packed=True)
    assert len(load(fashion_config(None), "test")) == 12


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b\x08\x00", b"plain"])
def test_a_broken_fashion_mnist_file_is_named(tmp_path: Path, damage: bytes) -> None:
    write_fashion(tmp_path / "root", packed=True)
    (tmp_path / "root" / "t10k-images-idx3-ubyte.gz").write_bytes(damage)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz is broken"):
        load(fashion_config(tmp_path / "root"), "test")
    assert len(load(fashion_config(tmp_path / "root"), "train")) == 12


def test_flipped_bytes_in_a_packed_file_are_noticed(tmp_path: Path) -> None:
    write_fashion(tmp_path / "root", packed=True)
    path = tmp_path / "root" / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(UserError, match="is broken"):
        load(fashion_config(tmp_path / "root"), "test")


def test_images_and_labels_of_unequal_number_are_refused(tmp_path: Path) -> None:
    write_fashion(tmp_path / "root", packed=False)
    (tmp_path / "root" / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 5) + bytes(5))
    with pytest.raises(UserError, match="fetch it again"):
        load(fashion_config(tmp_path / "root"), "test")


def test_the_real_fashion_mnist_is_what_it_says() -> None:
    try:
        images = load(fashion_config(None), "test")
    except UserError as error:
        pytest.skip(f"Fashion-MNIST is not installed: {error}")
    assert len(images) == 10_000
    assert images.labels.bincount().tolist() == [1000] * 10
    pixels = images.pixels(range(10_000))
    assert pixels is not None
    trousers, bags = pixels[images.labels == 1].float().mean(0)[0], pixels[images.labels == 8].float().mean(0)[0]
    assert trousers[:, 4:10].mean() < 10 < bags[:, 4:10].mean()
    train = load(fashion_config(None, train_images=100), "train")
    assert (len(train), train.ids[0][:20]) == (100, "fashion_mnist-train-")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_cifar_says_where_it_looked_and_how_to_get_it(tmp_path: Path, name: str) -> None:
    config = FilesConfig(name=name, root=str(tmp_path), download=False)
    with pytest.raises(UserError, match=rf"{name} was not found in {tmp_path}, .*download=True.*dataset\.root"):
        load(config, "test")


def test_a_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")

    def refuse(*args: object, **options: object) -> None:
        raise OSError("no network\nand more lines")

    monkeypatch.setattr(datasets, "FashionMNIST", refuse)
    with pytest.raises(UserError, match=r"downloading it failed \(no network\): get it with `apt-get") as error:
        load(fashion_config(tmp_path / "none", download=True), "test")
    assert "\n" not in str(error.value)


def test_a_name_that_is_no_data_set_is_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.name=birds is no data set"):
        load(DatasetConfig(name="birds"), "test")
    with pytest.raises(ValueError, match="split='val'"):
        load(DatasetConfig(name="digits"), "val")
