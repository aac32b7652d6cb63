"""Data sets that come as archives: digits, Fashion-MNIST and CIFAR, found or refused with the way out."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.stimuli import archives
from convergence.stimuli.base import select
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig, FilesConfig
from convergence.system.errors import UserError


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
    monkeypatch.setattr(archives, "DEBIAN_FASHION", tmp_path / "debian")
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
