"""Images as files: any folder of class folders, and ImageNet's."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError

from convergence.config import FilesConfig, OnError
from convergence.errors import UserError
from convergence.stimuli.base import Stimuli, digest, select

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
_SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
_HELD_OUT = 5  # without split folders, every fifth image of a shuffled class is held out
_log = logging.getLogger("convergence")


@dataclass
class FileStimuli(Stimuli):
    """Images decoded when asked for."""

    paths: tuple[Path, ...] = ()

    def image(self, i: int) -> Image.Image:
        return _decode(self.paths[i])


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as an image ({error}): replace or remove it, or go on with dataset.on_error=skip."
        ) from None


def image_folder(config: FilesConfig, split: str) -> FileStimuli:
    """Any folder of class folders, ``root/<class>/**/<image>``, or ``root/{train,test,val}/<class>/…``.

    Without split folders, a fifth of each class is held out. The chosen images are all decoded once here, so that a
    broken one is named before the work begins, or skipped and counted (``on_error=skip``).

    Raises
    ------
    UserError
        If the folder is missing or holds no images, or an image is broken.
    """
    if not config.root:
        raise UserError(f"dataset={config.name} needs a folder of class folders: name it with dataset.root=PATH.")
    root = Path(config.root)
    if not root.is_dir():
        raise UserError(
            f"dataset={config.name} looked in {root}, which is no folder: name yours with dataset.root=PATH."
        )
    base = next((root / name for name in _SPLITS[split] if (root / name).is_dir()), None)
    separate = base is not None or any((root / n).is_dir() for names in _SPLITS.values() for n in names)
    if separate and base is None:
        raise UserError(f"{root} has no {' or '.join(_SPLITS[split])} folder, which this run needs: add it.")
    top = base or root
    # Labels follow the classes of all splits, so that they mean the same in each.
    tops = [root / n for names in _SPLITS.values() for n in names if (root / n).is_dir()] if separate else [top]
    classes = sorted({p.name for t in tops for p in t.iterdir() if p.is_dir() and not p.name.startswith(".")})
    found = [(path, i) for i, name in enumerate(classes) for path in _files(top / name)]
    if not separate:
        found = [item for item in found if _held_out(item[0].relative_to(top)) == (split == "test")]
    if not found:
        raise UserError(f"{top} has no images in class folders (looked for {', '.join(sorted(_ENDINGS))}).")
    labels = torch.tensor([label for _, label in found])
    wanted = config.stimuli if split == "test" else config.train_images
    # With skip, replacements for the broken ones come from further down the same shuffle.
    order = select(labels, None if config.on_error is OnError.skip else wanted, config.seed, str(top), split)
    chosen, hashes, skipped = _check(found, order.tolist(), config, wanted)
    if wanted is not None and len(chosen) < wanted:
        select(labels[chosen], wanted, config.seed, str(top), split)
    if skipped:
        _log.warning("%d broken images of %s were skipped.", skipped, top)
    paths = tuple(found[i][0] for i in chosen)
    ids = tuple(path.relative_to(top).as_posix() for path in paths)
    return FileStimuli(config.name, tuple(classes), ids, labels[chosen], digest(ids, hashes), skipped, paths=paths)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())


def _held_out(path: Path) -> bool:
    return int(hashlib.sha256(path.as_posix().encode()).hexdigest(), 16) % _HELD_OUT == 0


def _check(
    found: list[tuple[Path, int]], order: list[int], config: FilesConfig, wanted: int | None
) -> tuple[list[int], list[str], int]:
    """Decode the images in order until enough are good: their indices, content hashes, and how many were broken."""

    def attempt(i: int) -> str | None:
        path = found[i][0]
        try:
            _decode(path)
        except UserError:
            if config.on_error is OnError.stop:
                raise
            return None
        return hashlib.sha256(path.read_bytes()).hexdigest()

    chosen: list[int] = []
    hashes: list[str] = []
    skipped = 0
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(order), 512):
            part = order[start : start + 512]
            if wanted is not None:
                part = part[: max(0, wanted - len(chosen))] if not skipped else part
            for i, content in zip(part, pool.map(attempt, part), strict=True):
                if content is None:
                    skipped += 1
                elif wanted is None or len(chosen) < wanted:
                    chosen.append(i)
                    hashes.append(content)
            if wanted is not None and len(chosen) >= wanted:
                break
    return chosen, hashes, skipped


def imagenet(config: FilesConfig, split: str) -> FileStimuli:
    """ImageNet as ``root/val/<wnid>/*.JPEG`` (and ``root/train`` for recipes).

    Raises
    ------
    UserError
        Saying how the folder must look and where the images come from, if it does not.
    """
    if not config.root or not any((Path(config.root) / name).is_dir() for name in ("val", "test")):
        where = config.root or "no folder (dataset.root is not set)"
        raise UserError(
            f"dataset=imagenet looked in {where} for val/<wnid>/*.JPEG: get ILSVRC2012 from image-net.org, sort the "
            "validation images into class folders, and name the folder above val with dataset.root=PATH."
        )
    return image_folder(config, split)
