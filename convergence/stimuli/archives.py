"""Small real data sets that lie in one file or a few: digits, Fashion-MNIST, CIFAR."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convergence import torchvision_ops
from convergence.config import DatasetConfig, FilesConfig
from convergence.errors import UserError
from convergence.stimuli.base import ArrayStimuli, digest, select

_FASHION = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def digits(config: DatasetConfig, split: str) -> ArrayStimuli:
    """scikit-learn's 1,797 scanned digits of 8 × 8, every third one held out, at 32 × 32."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError("dataset=digits comes with scikit-learn: install it with `pip install scikit-learn`.") from None
    data = load_digits()
    held_out = np.arange(len(data.target)) % 3 == 2
    mine = np.flatnonzero(held_out if split == "test" else ~held_out)
    grey = torch.from_numpy(data.images[mine]).float() * (255 / 16)
    larger = torch.nn.functional.interpolate(grey[:, None], scale_factor=4, mode="nearest").round().to(torch.uint8)
    return _stimuli(config, split, "digits", tuple("0123456789"), larger, torch.from_numpy(data.target[mine]), mine)


def fashion_mnist(config: FilesConfig, split: str) -> ArrayStimuli:
    """Fashion-MNIST (Xiao et al. 2017): 28 × 28 grey images of clothes, padded to 32 × 32."""
    prefix = "train" if split == "train" else "t10k"
    places = _fashion_places(config)
    folder = next((p for p in places if _idx(p, f"{prefix}-images-idx3-ubyte") is not None), None)
    if folder is None:
        folder = _download(config, "FashionMNIST", places, "apt-get install dataset-fashion-mnist") / "FashionMNIST/raw"
    images, labels = _idx(folder, f"{prefix}-images-idx3-ubyte"), _idx(folder, f"{prefix}-labels-idx1-ubyte")
    if images is None or labels is None:
        raise UserError(f"{folder} lacks {prefix}-labels-idx1-ubyte of Fashion-MNIST: fetch the data set again.")
    padded = torch.nn.functional.pad(torch.from_numpy(images), (2, 2, 2, 2))
    return _stimuli(config, split, "fashion_mnist", _FASHION, padded[:, None], torch.from_numpy(labels).long())


def _fashion_places(config: FilesConfig) -> list[Path]:
    """Where Debian's package and torchvision put the four files; only `root` where the user names one."""
    roots = [Path(config.root)] if config.root else [_data_home()]
    places = [place for root in roots for place in (root / "FashionMNIST/raw", root)]
    return places if config.root else [*places, _DEBIAN_FASHION]


def _idx(folder: Path, name: str) -> np.ndarray | None:
    """An idx file, packed or not; None if it is not there."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            try:
                content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
                axes = content[3]
                shape = np.frombuffer(content, ">u4", count=axes, offset=4)
                return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
            except (OSError, EOFError, ValueError, IndexError) as error:
                raise UserError(f"{path} is broken ({error}): fetch the data set again.") from None
    return None


def cifar(config: FilesConfig, split: str) -> ArrayStimuli:
    """CIFAR-10 or CIFAR-100 (Krizhevsky 2009): 32 × 32 photographs, as torchvision keeps them."""
    kind = _CIFAR[config.name]
    root = Path(config.root) if config.root else _data_home()
    torchvision_ops.ensure()
    from torchvision import datasets

    try:
        data = getattr(datasets, kind)(root, train=split == "train", download=False)
    except RuntimeError:
        _download(config, kind, [root], f"torchvision.datasets.{kind}({str(root)!r}, download=True)")
        data = getattr(datasets, kind)(root, train=split == "train", download=False)
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2)
    return _stimuli(config, split, config.name, tuple(data.classes), images, torch.tensor(data.targets))


def _download(config: FilesConfig, kind: str, places: list[Path], how: str) -> Path:
    """Fetch with torchvision into the data home; where that fails, say where it looked and how to get it."""
    root = Path(config.root) if config.root else _data_home()
    looked = ", ".join(str(p) for p in places)
    message = f"{config.name} was not found in {looked}"
    if not config.download:
        raise UserError(
            f"{message}, and dataset.download=false: get it with `{how}`, or name its folder with dataset.root."
        )
    torchvision_ops.ensure()
    from torchvision import datasets

    try:
        getattr(datasets, kind)(root, train=True, download=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{message} and could not be downloaded ({reason}): get it with `{how}`, or name its folder with "
            "dataset.root=PATH."
        ) from None
    return root


def _data_home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "convergence"


def _stimuli(
    config: DatasetConfig,
    split: str,
    name: str,
    classes: tuple[str, ...],
    images: Tensor,
    labels: Tensor,
    numbers: Any = None,
) -> ArrayStimuli:
    count = config.stimuli if split == "test" else config.train_images
    chosen = select(labels, count, config.seed, name, split)
    array = images[chosen].expand(-1, 3, -1, -1).contiguous()
    names = chosen if numbers is None else torch.as_tensor(numbers)[chosen]
    ids = tuple(f"{name}-{split}-{int(i)}" for i in names)
    content = digest(ids, hash_bytes(array.numpy().tobytes()))
    return ArrayStimuli(name, classes, ids, labels[chosen].long(), content, array=array)


def hash_bytes(content: bytes) -> str:
    """SHA-256 of the content, in hexadecimal."""
    import hashlib

    return hashlib.sha256(content).hexdigest()
