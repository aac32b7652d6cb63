"""Images as files: any folder of class folders, and ImageNet's."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from convergence.config import FilesConfig, OnError
from convergence.errors import UserError
from convergence.progress import progress
from convergence.stimuli.base import Stimuli, digest, select

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
_HELD_OUT = ("test", "val", "validation")  # names of the folder with the held-out images, best first
_SHARE = 5  # without split folders, every fifth image of a class is held out
_BATCH = 512
_log = logging.getLogger("convergence")


@dataclass
class FileStimuli(Stimuli):
    """Images decoded when asked for."""

    paths: tuple[Path, ...] = ()

    def image(self, i: int) -> Image.Image:
        path = self.paths[i]
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except _BROKEN as error:
            raise _broken(path, error) from None


# What Pillow raises for files that are truncated, of another kind, or malformed in one of many ways.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def _broken(path: Path, error: Exception) -> UserError:
    reason = str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    return UserError(
        f"{path} cannot be read as an image ({reason}): replace or remove it, or go on with dataset.on_error=skip."
    )


def image_folder(config: FilesConfig, split: str, held_out: Sequence[str] = _HELD_OUT) -> FileStimuli:
    """Any folder of class folders, ``root/<class>/**/<image>``, or ``root/{train,test,val}/<class>/**/<image>``.

    Without split folders, a fifth of each class is held out, by ``config.seed``. The chosen images are all decoded once
    here, so that a broken one is named before the work begins, or skipped and counted (``on_error=skip``).

    Parameters
    ----------
    held_out : names that the folder of the "test" split may have.

    Raises
    ------
    UserError
        If the folder is missing or holds no images, the splits' classes differ, or an image is broken.
    """
    root = _root(config)
    training = _split_folder(root, ("train",))
    testing = _split_folder(root, held_out)
    top = training if split == "train" else testing
    if top is None and (training or testing):
        names = ("train",) if split == "train" else held_out
        raise UserError(f"{root} has no folder {' or '.join(names)} with class folders, which this run needs: add it.")
    # Labels number the classes of the training folder, so that both splits mean the same by them.
    classes = _classes(training or testing or root)
    top = top or root
    strange = sorted(set(_classes(top)) - set(classes))
    if strange:
        raise UserError(f"{top} has the class {strange[0]}, which {training} has not: the splits' classes must agree.")
    found = []
    for label, name in enumerate(classes):
        files = _files(top / name)
        if not (training or testing):
            files = _share_of(files, top, split, config.seed)
        found += [(path, label) for path in files]
    if not found:
        raise UserError(f"{top} has no images in class folders (looked for {', '.join(sorted(_ENDINGS))}).")
    return _choose(found, classes, top, config, split)


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
    return next((root / name for name in names if (root / name).is_dir() and _classes(root / name)), None)


def _classes(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())


def _share_of(files: list[Path], top: Path, split: str, seed: int) -> list[Path]:
    """The split's part of one class: a fifth is held out, at least one image where there are two."""

    def place(path: Path) -> str:
        return hashlib.sha256(f"{seed}/{path.relative_to(top).as_posix()}".encode()).hexdigest()

    count = max(round(len(files) / _SHARE), 1) if len(files) > 1 else 0
    held_out = set(sorted(files, key=place)[:count])
    return [path for path in files if (path in held_out) == (split == "test")]


def _choose(
    found: list[tuple[Path, int]], classes: tuple[str, ...], top: Path, config: FilesConfig, split: str
) -> FileStimuli:
    labels = torch.tensor([label for _, label in found])
    wanted = config.stimuli if split == "test" else config.train_images
    order = select(labels, wanted, config.seed, str(top), split).tolist()
    if config.on_error is OnError.skip:  # replacements come from further down the same shuffle
        order = select(labels, None, config.seed, str(top), split).tolist()
    chosen, hashes, skipped = _check([found[i][0] for i in order], config, wanted or len(order))
    if skipped:
        _log.warning("%d broken images of %s were skipped.", skipped, top)
    indices = torch.tensor([order[i] for i in chosen], dtype=torch.int64)
    select(labels[indices], wanted, config.seed, f"{top} (without {skipped} broken ones)", split)
    paths = tuple(found[i][0] for i in indices.tolist())
    ids = tuple(path.relative_to(top).as_posix() for path in paths)
    fingerprint = digest(ids, classes, labels[indices].tolist(), hashes)
    return FileStimuli(config.name, classes, ids, labels[indices], fingerprint, skipped, paths=paths)


def _check(paths: list[Path], config: FilesConfig, wanted: int) -> tuple[list[int], list[str], int]:
    """Read images in order until enough are good: which they are, hashes of their content, and how many were broken."""

    def attempt(path: Path) -> str | None:
        try:
            content = path.read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                image.draft("RGB", (1, 1))  # a JPEG is then read to its end at an eighth of its size
                image.convert("RGB")
        except _BROKEN as error:
            if config.on_error is OnError.stop:
                raise _broken(path, error) from None
            return None
        return hashlib.sha256(content).hexdigest()

    good: list[int] = []
    hashes: list[str] = []
    skipped = at = 0
    with ThreadPoolExecutor() as pool, progress("Checking images", wanted, "images") as advance:
        while len(good) < wanted and at < len(paths):
            part = paths[at : at + min(_BATCH, wanted - len(good))]
            for content in pool.map(attempt, part):
                if content is None:
                    skipped += 1
                else:
                    good.append(at)
                    hashes.append(content)
                    advance(1)
                at += 1
    return good, hashes, skipped


def imagenet(config: FilesConfig, split: str) -> FileStimuli:
    """ImageNet as ``root/val/<wnid>/*.JPEG`` (and ``root/train`` for recipes).

    Raises
    ------
    UserError
        Saying how the folder must look and where the images come from, if it does not.
    """
    if not config.root or not (Path(config.root).expanduser() / "val").is_dir():
        where = config.root or "no folder (dataset.root is not set)"
        raise UserError(
            f"dataset=imagenet looked in {where} for val/<wnid>/*.JPEG: get ILSVRC2012 from image-net.org, sort the "
            "validation images into class folders, and name the folder above val with dataset.root=PATH."
        )
    return image_folder(config, split, held_out=("val",))
