"""CIFAR-10-C (Hendrycks and Dietterich 2019): the test images of CIFAR-10 under corruptions, in five severities."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli, as_image
from convergence.stimuli.conditions.imagenet_variants import root_of
from convergence.stimuli.options import DatasetConfig
from convergence.stimuli.shifts import Graded
from convergence.system.errors import UserError
from convergence.system.hashing import digest

_LAYOUT = "<corruption>.npy and labels.npy"
_SEVERITIES = ("1", "2", "3", "4", "5")
_ROWS = 10_000  # of one severity
_SHAPE = (len(_SEVERITIES) * _ROWS, 32, 32, 3)


@dataclass
class RowStimuli(Stimuli):
    """Rows of a file of images, (rows, H, W, 3), read when asked for."""

    path: Path = Path()
    rows: tuple[int, ...] = ()

    def pixels(self, indices: Sequence[int]) -> Tensor:
        chosen = [self.rows[i] for i in indices]
        return torch.from_numpy(_opened(self.path)[chosen]).permute(0, 3, 1, 2).contiguous()

    def image(self, i: int) -> Image.Image:
        return as_image(self.pixels([i])[0])


def offered(config: DatasetConfig) -> list[Graded]:
    """The corruptions that lie in the folder.

    Raises
    ------
    UserError
        If there is none, or the data set is not CIFAR-10.
    """
    if config.name != "cifar10":
        raise UserError(
            f"dataset.shifts=cifar10_c corrupts the test images of CIFAR-10: use dataset=cifar10, not {config.name}."
        )
    root = root_of(config, _LAYOUT)
    names = sorted(path.stem for path in root.glob("*.npy") if path.stem != "labels")
    if not names or not (root / "labels.npy").is_file():
        raise UserError(f"{root} lacks {_LAYOUT}, as CIFAR-10-C has them: get it again.")
    return [Graded(name, _SEVERITIES, _SEVERITIES) for name in names]


def corrupted(config: DatasetConfig, base: Stimuli, shift: Graded, level: str) -> RowStimuli:
    """The images of ``base``, the test split of CIFAR-10, under a corruption.

    Raises
    ------
    UserError
        If the files do not have the shape of CIFAR-10-C's, or its labels are not those of CIFAR-10.
    """
    root = root_of(config, _LAYOUT)
    path = root / f"{shift.name}.npy"
    images, labels = _opened(path), _opened(root / "labels.npy")
    if images.shape != _SHAPE or images.dtype != np.uint8:
        raise UserError(f"{path} holds {images.dtype} {images.shape}, not 8 bits of {_SHAPE}: get it again.")
    if labels.shape not in ((_ROWS,), (_SHAPE[0],)):
        raise UserError(
            f"{root / 'labels.npy'} holds {labels.shape} labels, neither {_ROWS:,} nor {_SHAPE[0]:,}: get it again."
        )
    numbers = [int(image_id.rsplit("-", 1)[1]) for image_id in base.ids]
    rows = [(int(level) - 1) * _ROWS + number for number in numbers]
    wrong = (labels[[row % len(labels) for row in rows]] != base.labels.numpy()).nonzero()[0]
    if len(wrong):
        raise UserError(
            f"{root / 'labels.npy'} gives another class to {base.ids[wrong[0]]} than CIFAR-10 does: get it again."
        )
    content = hashlib.sha256(images[rows].tobytes()).hexdigest()
    name = f"cifar10_c/{shift.name}/{level}"
    fingerprint = digest(name, base.ids, content)
    return RowStimuli(name, base.classes, base.ids, base.labels, fingerprint, path=path, rows=tuple(rows))


def _opened(path: Path) -> Any:
    """An array that stays on disk."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is broken ({error}): get it again.") from None
