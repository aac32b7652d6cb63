"""Folders of images as people have them: which files are images, what their classes are, and where the splits lie."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convergence.stimuli.decoding import endings
from convergence.stimuli.imagenet import class_order
from convergence.system.errors import UserError
from convergence.system.notes import say_once

TRAINING = ("train", "training")
HELD_OUT = ("test", "testing", "val", "valid", "validation")  # the folder with the held-out images, best first
_SHARE = 5  # without split folders, every fifth image of a class is held out
# What archives and file managers leave behind, beside names with a dot in front.
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin", "system volume information"}
_log = logging.getLogger("convergence")


@dataclass(frozen=True)
class Layout:
    """Where the images of one split lie.

    Attributes
    ----------
    top : the folder that ids are places below.
    classes : names of the labels, in their order; none where images lie flat.
    folders : the folder of each class, None where this split has none of it.
    divided : whether the splits have folders of their own; else a share of each class is held out.
    """

    top: Path
    classes: tuple[str, ...]
    folders: tuple[str | None, ...]
    divided: bool

    def files(self) -> list[list[str]]:
        """Places of the images below ``top``, by class; those of a flat folder in one list."""
        if not self.classes:
            return [images_in(self.top, "", deep=False)]
        return [images_in(self.top, folder) if folder is not None else [] for folder in self.folders]


def is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def images_in(top: Path, inside: str, deep: bool = True) -> list[str]:
    """Places below ``top``, with slashes, of the images in one of its folders, and if ``deep`` below that, in order."""
    found, readable = [], endings()
    for entry in _entries(top / inside):
        place = f"{inside}/{entry.name}" if inside else entry.name
        if entry.is_dir():
            found += images_in(top, place) if deep else []
        elif _is_image(entry, readable):
            found.append(place)
    return sorted(found, key=lambda place: place.split("/"))


def folders_in(folder: Path) -> tuple[str, ...]:
    """Names of the folders in a folder: numbers in numerical order if all are, else as text."""
    return in_order(entry.name for entry in _entries(folder) if entry.is_dir())


def in_order(names: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    """Numbers in numerical order if all names are numbers, else as text."""
    names = sorted(names)
    return tuple(sorted(names, key=int) if all(_is_number(name) for name in names) else names)


def layout_of(root: Path, split: str, held_out: Sequence[str] = HELD_OUT, of_imagenet: bool = False) -> Layout:
    """How the images of ``root`` lie, of the split "train", "test", or "all": all, or those that are held out already.

    ``root/<image>``, ``root/<class>/**/<image>``, or either below ``root/{train,test,val,…}``. A folder that is alone
    in ``root`` stands for it.

    Raises
    ------
    UserError
        If there are no images, or the splits' classes differ, or the split has no folder.
    """
    root = _unwrapped(root)
    training, testing = _split_folder(root, TRAINING), _split_folder(root, held_out)
    top = training if split == "train" else testing
    if split == "all":
        top = testing or training
    if top is None and (training or testing):
        names = TRAINING[:1] if split == "train" else held_out
        raise UserError(f"{root} has no folder {' or '.join(names)} with class folders, which this run needs: add it.")
    divided, top = top is not None, top or root
    there = _classes(top)
    # Labels number the classes of the training folder, so that both splits mean the same by them.
    classes = _classes(training) if training and there else there
    strange = [name for name in there if name not in classes]
    if strange:
        raise UserError(f"{top} has the class {strange[0]}, which {training} has not: the splits' classes must agree.")
    _say_what_is_left_out(top, there)
    return Layout(top, canonical(classes, of_imagenet), tuple(n if n in there else None for n in classes), divided)


def has_splits(root: Path) -> bool:
    """Whether images lie in class folders below a folder for training and one for test."""
    if not root.is_dir():
        return False
    root = _unwrapped(root)
    return all(_split_folder(root, names) is not None for names in (TRAINING, HELD_OUT))


def canonical(classes: tuple[str, ...], of_imagenet: bool = False) -> tuple[str, ...]:
    """WordNet ids in place of the numbers 0 … 999, by which ImageNetV2 calls its folders; other names as they are.

    Parameters
    ----------
    of_imagenet : numbers are known to be ImageNet's; else they are taken so where all thousand are there.
    """
    if not classes or not all(map(_is_number, classes)):
        return classes
    numbers = [int(name) for name in classes]
    if numbers != list(range(1000)) and not (of_imagenet and max(numbers) < 1000 and len(set(numbers)) == len(numbers)):
        return classes
    _log.info("class folders that are numbers (%s … %s) are read as ImageNet's classes.", classes[0], classes[-1])
    return tuple(class_order()[number] for number in numbers)


def share_of(files: list[str], split: str, seed: int) -> list[str]:
    """The split's part of one class: a fifth is held out, at least one image where there are two."""
    if split == "all":
        return files

    def place(image_id: str) -> str:
        return hashlib.sha256(f"{seed}/{image_id}".encode()).hexdigest()

    count = max(round(len(files) / _SHARE), 1) if len(files) > 1 else 0
    held_out = set(sorted(files, key=place)[:count])
    return [image_id for image_id in files if (image_id in held_out) == (split == "test")]


def _is_number(name: str) -> bool:
    return name.isdecimal() and name.isascii()


def _is_image(entry: os.DirEntry[str], readable: frozenset[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in readable and entry.is_file()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not is_clutter(entry.name) and not _leads_nowhere(entry, folder))


def _leads_nowhere(entry: os.DirEntry[str], folder: Path) -> bool:
    """Whether this is a link to nothing, or back to a folder that it lies in."""
    if not entry.is_symlink():
        return False
    target, here = Path(os.path.realpath(entry.path)), Path(os.path.realpath(folder))
    return not os.path.exists(entry.path) or target == here or target in here.parents


def _has_images(folder: Path) -> bool:
    """Whether images lie in the folder itself."""
    readable = endings()
    return any(_is_image(entry, readable) for entry in _entries(folder))


def _holds_images(folder: Path) -> bool:
    """Whether images lie in the folder, or somewhere below."""
    return _has_images(folder) or any(_holds_images(folder / name) for name in folders_in(folder))


def _classes(top: Path) -> tuple[str, ...]:
    """The class folders; none where images lie flat."""
    folders = tuple(name for name in folders_in(top) if _holds_images(top / name))
    return () if len(folders) < 2 and _has_images(top) else folders


def _say_what_is_left_out(top: Path, classes: Sequence[str]) -> None:
    beside = images_in(top, "", deep=False) if classes and _has_images(top) else []
    if beside:
        what = f"{len(beside):,} images that lie beside its {len(classes):,} class folders ({beside[0]}, …)"
        say_once(f"{top}: {what} are left out.", logging.WARNING)
    for name in [] if classes else folders_in(top):
        if count := len(images_in(top, name)):
            text = f"{top}: its images lie flat, so the {count:,} in the folder {name} are left out."
            say_once(text, logging.WARNING)


def _unwrapped(root: Path) -> Path:
    """Down through folders that hold nothing but one folder of folders, such as an archive's own."""
    names = folders_in(root)
    if _has_images(root) or len(names) != 1 or names[0].lower() in (*TRAINING, *HELD_OUT):
        return root
    inner = root / names[0]
    return root if _has_images(inner) or not folders_in(inner) else _unwrapped(inner)


def _split_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The first that holds class folders; one that holds images is a split if nothing else lies beside the splits.

    Else it is a class, such as trains.
    """
    there = {name.lower(): root / name for name in folders_in(root) if _holds_images(root / name)}
    named = [there[name] for name in names if name in there]
    are_splits = set(there) <= {*TRAINING, *HELD_OUT} and not _has_images(root)
    nested = [path for path in named if _classes(path)]
    return next(iter(nested or (named if are_splits else [])), None)
