"""Small real data sets that lie in one file or a few: digits, Fashion-MNIST, CIFAR."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.util
import logging
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence.stimuli.base import ArrayStimuli, select
from convergence.stimuli.options import DatasetConfig, FilesConfig
from convergence.system import torchvision_ops
from convergence.system.errors import UserError
from convergence.system.hashing import digest

_FASHION = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_log = logging.getLogger("convergence")
_CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def digits(config: DatasetConfig, split: str) -> ArrayStimuli:
    """scikit-learn's 1,797 scanned digits of 8 × 8, every third one held out, at 32 × 32."""
    library = importlib.util.find_spec("sklearn")
    if library is None or library.origin is None:
        raise UserError("dataset=digits comes with scikit-learn: install it with `pip install scikit-learn`.")
    # Not by load_digits: importing scikit-learn takes as long as importing PyTorch.
    table = np.loadtxt(Path(library.origin).parent / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.uint8)
    values, targets = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    held_out = np.arange(len(targets)) % 3 == 2
    mine = np.flatnonzero(held_out if split == "test" else ~held_out)
    grey = torch.from_numpy(values[mine]).float() * (255 / 16)
    larger = torch.nn.functional.interpolate(grey[:, None], scale_factor=4, mode="nearest").round().to(torch.uint8)
    return _stimuli(config, split, tuple("0123456789"), larger, torch.from_numpy(targets[mine]), mine)


def fashion_mnist(config: FilesConfig, split: str) -> ArrayStimuli:
    """Fashion-MNIST (Xiao et al. 2017): 28 × 28 grey images of clothes, padded to 32 × 32.

    Read from `root`, from where torchvision or Debian's package put it, else downloaded by torchvision.
    """
    prefix = "train" if split == "train" else "t10k"
    names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    places = [place for home in _homes(config) for place in (home / "FashionMNIST/raw", home)]
    if not config.root:
        places.append(DEBIAN_FASHION)
    folder = next((place for place in places if all(_find(place, name) for name in names)), None)
    if folder is None:
        home = _download(config, "FashionMNIST", places, "apt-get install dataset-fashion-mnist")
        folder = home / "FashionMNIST/raw"
    images, labels = (_read_idx(folder, name) for name in names)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UserError(f"{folder} holds {images.shape} {prefix} images and {labels.shape} labels: fetch it again.")
    padded = torch.nn.functional.pad(torch.from_numpy(images), (2, 2, 2, 2))
    return _stimuli(config, split, _FASHION, padded[:, None], torch.from_numpy(labels).long())


def _find(folder: Path, name: str) -> Path | None:
    """An idx file, packed or not."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """The array in an idx file of bytes: magic, one length per axis, then the values."""
    path = _find(folder, name)
    if path is None:
        raise UserError(f"{folder} lacks {name} of Fashion-MNIST: fetch the data set again.")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        axes = content[3]
        shape = np.frombuffer(content, ">u4", count=axes, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise UserError(f"{path} is broken ({error}): remove it and fetch the data set again.") from None


def cifar(config: FilesConfig, split: str) -> ArrayStimuli:
    """CIFAR-10 or CIFAR-100 (Krizhevsky 2009): 32 × 32 photographs, as torchvision keeps them."""
    kind = _CIFAR[config.name]
    torchvision_ops.ensure()
    from torchvision import datasets

    is_train = split == "train"
    for home in _homes(config):
        with contextlib.suppress(RuntimeError):  # how torchvision says that it is missing or fails its checksums
            data = getattr(datasets, kind)(home, train=is_train, download=False)
            break
    else:
        home = _homes(config)[-1]
        how = f"""python -c "from torchvision.datasets import {kind}; {kind}('{home}', download=True)\""""
        data = getattr(datasets, kind)(_download(config, kind, _homes(config), how), train=is_train)
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2)
    return _stimuli(config, split, tuple(data.classes), images, torch.tensor(data.targets))


def _download(config: FilesConfig, kind: str, places: list[Path], how: str) -> Path:
    """Fetch with torchvision; where that fails or is not wanted, say where it looked and how to get it."""
    home = _homes(config)[-1]
    missing = f"{config.name} was not found in {', '.join(map(str, places))}"
    get = f"get it with `{how}`, or name its folder with dataset.root=PATH"
    if not config.download:
        raise UserError(f"{missing}, and dataset.download=false: {get}.")
    torchvision_ops.ensure()
    from torchvision import datasets

    _log.info("%s: downloading it to %s.", missing, home)
    try:
        getattr(datasets, kind)(home, train=True, download=True)
    except Exception as error:  # whatever a network, a mirror or a disk can do
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{missing}, and downloading it failed ({reason}): {get}.") from None
    return home


def _homes(config: FilesConfig) -> list[Path]:
    """The folders that torchvision is given as a root; the last is the one for downloads."""
    if config.root:
        return [Path(config.root)]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [Path("data"), Path(cache) / "convergence"]


def _stimuli(
    config: DatasetConfig,
    split: str,
    classes: tuple[str, ...],
    images: Tensor,
    labels: Tensor,
    numbers: Any = None,
) -> ArrayStimuli:
    name = config.name
    count = config.stimuli if split == "test" else config.train_images
    chosen = select(labels, count, config.seed, name, split)
    array = images[chosen].expand(-1, 3, -1, -1).contiguous()
    names = chosen if numbers is None else torch.as_tensor(numbers)[chosen]
    ids = tuple(f"{name}-{split}-{int(i)}" for i in names)
    labels = labels[chosen].long()
    content = digest(ids, classes, labels.tolist(), hashlib.sha256(array.numpy().tobytes()).hexdigest())
    return ArrayStimuli(name, classes, ids, labels, content, array=array)
