"""Images in files: folders as they lie, ImageNet's, and tables of paths."""

from __future__ import annotations

import logging
from pathlib import Path

from convergence.stimuli.base import select
from convergence.stimuli.decoding import endings, look_of
from convergence.stimuli.files import FileStimuli, listed, opened
from convergence.stimuli.layouts import HELD_OUT, layout_of, share_of
from convergence.stimuli.options import FilesConfig, OnError
from convergence.stimuli.tables import READERS as TABLES
from convergence.stimuli.tables import from_table
from convergence.system.errors import UserError
from convergence.system.notes import say_once

_PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
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
    wanted = config.train_images if split == "train" else config.stimuli
    order = select(found.labels, wanted, config.seed, str(found.top), split)
    if config.on_error is OnError.skip:  # replacements come from further down the same shuffle
        order = select(found.labels, None, config.seed, str(found.top), split)
    (chosen,) = opened([found.take(order.tolist())], wanted or len(order), config.on_error)
    if chosen.skipped:
        _log.warning("%d broken images of %s were skipped.", chosen.skipped, found.top)
    select(chosen.labels, wanted, config.seed, f"{found.top} (without {chosen.skipped} broken ones)", split)
    if split != "train":
        capped = f" (dataset.stimuli={config.stimuli})" if wanted is not None and wanted < len(found) else ""
        say_once(f"{len(chosen):,} of {found.about} are stimuli{capped}.")
    return chosen


def listing(config: FilesConfig, split: str) -> FileStimuli:
    """All images of a split, unopened: "train", "test", or "all" where no network is trained on this data set.

    Of ``dataset=imagenet`` these are ``root/val/<class>/*.JPEG`` (``root/train`` for recipes). Else any folder that
    ``layout_of`` understands; without split folders, a fifth of each class is held out, by ``config.seed``. Or the
    files that ``config.table`` names.

    Raises
    ------
    UserError
        If the folder is missing or holds no images, or the splits' classes differ.
    """
    found = from_table(config, split) if config.table else _from_folders(config, split)
    found.look = look_of(config.background, config.exif)
    return found


def _from_folders(config: FilesConfig, split: str) -> FileStimuli:
    held_out: tuple[str, ...] = HELD_OUT
    if config.name == "imagenet":
        _refuse_other_than_imagenet(config)
        held_out = ("val",)
    root = _root(config)
    layout = layout_of(root, split, held_out, of_imagenet=config.name == "imagenet")
    by_class = layout.files()
    total = sum(map(len, by_class))
    if not total:
        raise UserError(
            f"{layout.top} has no images, in class folders or flat: looked for .jpg, .png, .tif, .webp, .bmp and "
            f"{len(endings()) - 5} other endings that Pillow reads."
        )
    found = []
    for label, files in enumerate(by_class):
        mine = files if layout.divided else share_of(files, split, config.seed)
        found += [(image_id, label if layout.classes else -1) for image_id in mine]
    if not found:
        raise UserError(
            f"{root} has one image of each class, so that none can be held out from training: compare networks that "
            "are not trained on it, or give it folders train and test."
        )
    images = listed(config.name, layout.top, layout.classes, found)
    images.about = f"{total:,} images of {layout.top}"
    if split == "test" and not layout.divided:
        images.about += f", a fifth of which ({len(found):,}) is held out from training,"
    return images


def _root(config: FilesConfig) -> Path:
    if not config.root:
        raise UserError(f"dataset={config.name} needs a folder of images: name it with dataset.root=PATH.")
    root = Path(config.root).expanduser()
    if root.is_file():
        way = "unpack it, and name the folder that comes out" if root.suffix.lower() in _PACKED else "name its folder"
        what = "an archive" if root.suffix.lower() in _PACKED else "a file"
        if root.suffix.lower() in TABLES:
            what, way = "a table", f"give it as dataset.table={root}"
        raise UserError(f"dataset.root={root} is {what}, not a folder of images: {way}.")
    if not root.is_dir():
        raise UserError(
            f"dataset={config.name} looked in {root}, which is no folder: name yours with dataset.root=PATH."
        )
    return root


def _refuse_other_than_imagenet(config: FilesConfig) -> None:
    if not config.root or not (Path(config.root).expanduser() / "val").is_dir():
        where = config.root or "no folder (dataset.root is not set)"
        raise UserError(
            f"dataset=imagenet looked in {where} for val/<wnid>/*.JPEG: get ILSVRC2012 from image-net.org, sort the "
            "validation images into class folders, and name the folder above val with dataset.root=PATH."
        )
