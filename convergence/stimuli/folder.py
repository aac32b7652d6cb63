"""Folders of class folders, and ImageNet's."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from convergence.stimuli.base import select
from convergence.stimuli.files import ENDINGS, FileStimuli, folders_in, images_in, listed, opened
from convergence.stimuli.options import FilesConfig, OnError
from convergence.system.errors import UserError

_HELD_OUT: tuple[str, ...] = ("test", "val", "validation")  # names of the folder with the held-out images, best first
_SHARE = 5  # without split folders, every fifth image of a class is held out
_log = logging.getLogger("convergence")


def image_folder(config: FilesConfig, split: str) -> FileStimuli:
    """``stimuli`` images (``train_images`` of the "train" split) of those that ``listing`` finds.

    The chosen images are all decoded once here, so that a broken one is named before the work begins, or skipped and
    counted (``on_error=skip``).

    Raises
    ------
    UserError
        As ``listing``, and if there are too few images, or one is broken.
    """
    found = listing(config, split)
    wanted = config.stimuli if split == "test" else config.train_images
    order = select(found.labels, wanted, config.seed, str(found.top), split)
    if config.on_error is OnError.skip:  # replacements come from further down the same shuffle
        order = select(found.labels, None, config.seed, str(found.top), split)
    (chosen,) = opened([found.take(order.tolist())], wanted or len(order), config.on_error)
    if chosen.skipped:
        _log.warning("%d broken images of %s were skipped.", chosen.skipped, found.top)
    select(chosen.labels, wanted, config.seed, f"{found.top} (without {chosen.skipped} broken ones)", split)
    return chosen


def listing(config: FilesConfig, split: str) -> FileStimuli:
    """All images of a split of ``root``, unopened.

    Of ``dataset=imagenet`` these are ``root/val/<wnid>/*.JPEG`` (``root/train`` for recipes). Else any folder of class
    folders, ``root/<class>/**/<image>``, or ``root/{train,test,val}/<class>/**/<image>``; without split folders, a
    fifth of each class is held out, by ``config.seed``.

    Raises
    ------
    UserError
        If the folder is missing or holds no images, or the splits' classes differ.
    """
    held_out = _HELD_OUT
    if config.name == "imagenet":
        _refuse_other_than_imagenet(config)
        held_out = ("val",)
    root = _root(config)
    training = _split_folder(root, ("train",))
    testing = _split_folder(root, held_out)
    top = training if split == "train" else testing
    if top is None and (training or testing):
        names = ("train",) if split == "train" else held_out
        raise UserError(f"{root} has no folder {' or '.join(names)} with class folders, which this run needs: add it.")
    # Labels number the classes of the training folder, so that both splits mean the same by them.
    classes = folders_in(training or testing or root)
    top = top or root
    strange = sorted(set(folders_in(top)) - set(classes))
    if strange:
        raise UserError(f"{top} has the class {strange[0]}, which {training} has not: the splits' classes must agree.")
    found = []
    for label, name in enumerate(classes):
        files = images_in(top, name) if (top / name).is_dir() else []
        if not (training or testing):
            files = _share_of(files, split, config.seed)
        found += [(image_id, label) for image_id in files]
    if not found:
        raise UserError(f"{top} has no images in class folders (looked for {', '.join(sorted(ENDINGS))}).")
    return listed(config.name, top, classes, found)


def _root(config: FilesConfig) -> Path:
    if not config.root:
        raise UserError(f"dataset={config.name} needs a folder of class folders: name it with dataset.root=PATH.")
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise UserError(
            f"dataset={config.name} looked in {root}, which is no folder: name yours with dataset.root=PATH."
        )
    return root


def _split_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The first that holds class folders; one that holds images is itself a class, such as trains."""
    return next((root / name for name in names if (root / name).is_dir() and folders_in(root / name)), None)


def _share_of(files: list[str], split: str, seed: int) -> list[str]:
    """The split's part of one class: a fifth is held out, at least one image where there are two."""

    def place(image_id: str) -> str:
        return hashlib.sha256(f"{seed}/{image_id}".encode()).hexdigest()

    count = max(round(len(files) / _SHARE), 1) if len(files) > 1 else 0
    held_out = set(sorted(files, key=place)[:count])
    return [image_id for image_id in files if (image_id in held_out) == (split == "test")]


def _refuse_other_than_imagenet(config: FilesConfig) -> None:
    if not config.root or not (Path(config.root).expanduser() / "val").is_dir():
        where = config.root or "no folder (dataset.root is not set)"
        raise UserError(
            f"dataset=imagenet looked in {where} for val/<wnid>/*.JPEG: get ILSVRC2012 from image-net.org, sort the "
            "validation images into class folders, and name the folder above val with dataset.root=PATH."
        )
