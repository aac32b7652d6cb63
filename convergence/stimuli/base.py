"""A list of images with ids and labels, decoded or drawn when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convergence.system.errors import UserError
from convergence.system.hashing import digest

Made = TypeVar("Made")


@dataclass
class Stimuli(ABC):
    """M images in a fixed order.

    Attributes
    ----------
    name : the data set's.
    classes : names of the labels.
    ids : one per image, unique, the same on every machine.
    labels : (M,) int64.
    fingerprint : SHA-256 of everything that the pixels and their order depend on.
    skipped : broken images that were left out.
    members : per class, names of the finer classes that it gathers, as a network may know these alone; else None.
    """

    name: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Tensor
    fingerprint: str
    skipped: int = 0
    members: tuple[tuple[str, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def at_hand(self) -> bool:
        """Whether pixels lie in memory, or are kept there once they are made: nothing is won by storing them."""
        return False

    @abstractmethod
    def image(self, i: int) -> Image.Image:
        """The i-th image, RGB."""

    def each(self, indices: Sequence[int], make: Callable[[Image.Image], Made]) -> list[Made]:
        """What ``make`` makes of each of the images."""
        return [make(self.image(int(i))) for i in indices]

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        """uint8 (n, 3, S, S) where all images are squares of one size, else None."""
        return None

    @property
    def common_size(self) -> tuple[int, int] | None:
        """Width and height, where all images are known to have the same; else None."""
        first = self.pixels([0])
        return None if first is None else (first.shape[-1], first.shape[-2])

    def prepare(self) -> None:  # noqa: B027
        """Do once, in this process, what workers that make pixels would each do again."""

    def take(self, indices: Sequence[int]) -> Stimuli:
        """These images alone, in this order."""
        return Subset(
            self.name,
            self.classes,
            tuple(self.ids[i] for i in indices),
            self.labels[list(indices)],
            digest(self.fingerprint, list(indices)),
            self.skipped,
            self.members,
            base=self,
            indices=tuple(indices),
        )


@dataclass
class Subset(Stimuli):
    """Some images of others, decoded or drawn by these."""

    base: Stimuli | None = None
    indices: tuple[int, ...] = ()

    def each(self, indices: Sequence[int], make: Callable[[Image.Image], Made]) -> list[Made]:
        assert self.base is not None
        return self.base.each([self.indices[i] for i in indices], make)

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        assert self.base is not None
        return self.base.pixels([self.indices[i] for i in indices])

    def image(self, i: int) -> Image.Image:
        assert self.base is not None
        return self.base.image(self.indices[i])


@dataclass
class ArrayStimuli(Stimuli):
    """Images that lie in memory as uint8 (M, 3, H, W)."""

    array: Tensor | None = None

    @property
    def at_hand(self) -> bool:
        return True

    def pixels(self, indices: Sequence[int]) -> Tensor:
        assert self.array is not None
        return self.array[torch.as_tensor(indices)]

    def image(self, i: int) -> Image.Image:
        return as_image(self.pixels([i])[0])


def as_image(pixels: Tensor) -> Image.Image:
    """PIL image of uint8 (3, H, W)."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def select(labels: Tensor, count: int | None, seed: int, name: str, split: str) -> Tensor:
    """Indices of ``count`` images (None: all), a seeded shuffle's first, so that a larger count keeps the smaller's.

    Raises
    ------
    UserError
        If there are fewer images than that, or none is asked for.
    """
    what = "train_images" if split == "train" else "stimuli"
    if count is not None and count < 1:
        raise UserError(f"dataset.{what}={count} leaves no images: ask for one or more, or for all with null.")
    if count is not None and count > len(labels):
        raise UserError(
            f"dataset.{what}={count}, but {name if split == 'all' else f'the {split} split of {name}'} has "
            f"{len(labels)} images: "
            f"ask for fewer, or for all with dataset.{what}=null."
        )
    # Sorting raw bits of Philox: unlike a library's shuffle, these are promised to stay the same across versions.
    order = np.argsort(np.random.Philox(key=seed % 2**64).random_raw(len(labels)), kind="stable")
    return torch.from_numpy(order[:count])


def balanced(labels: Tensor, seed: int) -> Tensor:
    """Indices of all images in the order of ``select``, but one of each class after the other as long as there are any.

    The first n of them are then as balanced as n images can be, and a larger n keeps the smaller's.
    """
    order = select(labels, None, seed, "", "test")
    seen: dict[int, int] = {}
    turns = []
    for label in labels[order].tolist():
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    return order[torch.argsort(torch.tensor(turns, dtype=torch.int64), stable=True)]


def restricted(stimuli: Stimuli, classes: tuple[str, ...], gathered: Mapping[str, str] | None = None) -> Stimuli:
    """The images of these classes alone, labelled by their places among them.

    Parameters
    ----------
    gathered : from a finer class to the one of ``classes`` that it belongs to; ``members`` are then the finer ones.
    """
    place = {name: i for i, name in enumerate(classes)}
    names = [name if gathered is None else gathered.get(name, "") for name in stimuli.classes]
    new = torch.tensor([place.get(name, -1) for name in names], dtype=torch.int64)
    kept = stimuli.take((new[stimuli.labels] >= 0).nonzero()[:, 0].tolist())
    members = stimuli.members
    if gathered is not None:
        members = tuple(tuple(fine for fine, coarse in gathered.items() if coarse == name) for name in classes)
    elif members is not None:
        members = tuple(members[stimuli.classes.index(name)] for name in classes)
    return replace(
        kept,
        classes=classes,
        labels=new[kept.labels],
        fingerprint=digest(kept.fingerprint, classes, members),
        members=members,
    )
