"""Images as files: listed first, opened when chosen, decoded when asked for."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from convergence.stimuli.base import Stimuli
from convergence.stimuli.options import OnError
from convergence.system.errors import UserError
from convergence.system.hashing import digest
from convergence.system.progress import progress

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
_BATCH = 512
# What Pillow raises for files that are truncated, of another kind, or malformed in one of many ways.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass
class FileStimuli(Stimuli):
    """Images decoded when asked for; ``ids`` are their places below ``top``."""

    top: Path = Path()

    def path(self, i: int) -> Path:
        return self.top / self.ids[i]

    def image(self, i: int) -> Image.Image:
        path = self.path(i)
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except _BROKEN as error:
            raise _broken(path, error) from None

    def take(self, indices: Sequence[int]) -> FileStimuli:
        return replace(
            self,
            ids=tuple(self.ids[i] for i in indices),
            labels=self.labels[list(indices)],
            fingerprint=digest(self.fingerprint, list(indices)),
            texture_labels=None if self.texture_labels is None else self.texture_labels[list(indices)],
        )


def listed(
    name: str, top: Path, classes: tuple[str, ...], found: Iterable[tuple[str, int]], texture: Sequence[int] = ()
) -> FileStimuli:
    """Images by their place below ``top`` and label, none of them opened: the fingerprint knows no content yet.

    Parameters
    ----------
    texture : the class of each image's texture, if that is told.
    """
    # Sets that are distorted in many ways have the same names again and again: each is kept once.
    pairs = [(sys.intern(image_id), label) for image_id, label in found]
    return FileStimuli(
        name,
        classes,
        ids=tuple(image_id for image_id, _ in pairs),
        labels=torch.tensor([label for _, label in pairs], dtype=torch.int64),
        fingerprint="",
        texture_labels=torch.tensor(texture) if texture else None,
        top=top,
    )


def images_in(top: Path, inside: str) -> list[str]:
    """Places below ``top``, with slashes, of the images in one of its folders and below that, in a fixed order."""
    found = []
    with os.scandir(top / inside) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            place = f"{inside}/{entry.name}"
            if entry.is_dir():
                found += images_in(top, place)
            elif os.path.splitext(entry.name)[1].lower() in ENDINGS and entry.is_file():
                found.append(place)
    return sorted(found, key=lambda place: place.split("/"))


def folders_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def opened(together: Sequence[FileStimuli], wanted: int, on_error: OnError) -> list[FileStimuli]:
    """The first ``wanted`` images of each listing, all decoded once, so that a broken one is named before the work.

    Where listings are paired, an image that is broken in one of them is left out of all. There may be fewer than wanted
    in the end. The fingerprints are of the content.

    Parameters
    ----------
    together : equally long, the i-th of one belonging to the i-th of the others.

    Raises
    ------
    UserError
        If an image is broken, unless ``on_error`` is skip.
    """
    good: list[int] = []
    hashes: list[tuple[str, ...]] = []
    at, most = 0, len(together[0])
    wanted = min(wanted, most)
    with ThreadPoolExecutor() as pool, progress("Checking images", wanted * len(together), "images") as advance:
        while len(good) < wanted and at < most:
            part = range(at, min(at + max(_BATCH // len(together), 1), at + wanted - len(good), most))
            # Read by the pool, and taken in order, so that it is always the same image that is named.
            read = [pool.submit(_read, listing.path(i), on_error) for i in part for listing in together]
            contents = [future.result() for future in read]
            for number, i in enumerate(part):
                row = contents[number * len(together) : (number + 1) * len(together)]
                if all(row):
                    good.append(i)
                    hashes.append(tuple(map(str, row)))
                    advance(len(together))
            at = part.stop
    result = []
    for number, listing in enumerate(together):
        kept = listing.take(good)
        parts = (kept.ids, kept.classes, kept.labels.tolist(), [row[number] for row in hashes])
        members = [kept.members] if kept.members is not None else []
        result.append(replace(kept, fingerprint=digest(*parts, *members), skipped=at - len(good)))
    return result


def _read(path: Path, on_error: OnError) -> str | None:
    """A hash of the content, None if it is no image."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (1, 1))  # a JPEG is then read to its end at an eighth of its size
            image.convert("RGB")
    except _BROKEN as error:
        if on_error is OnError.stop:
            raise _broken(path, error) from None
        return None
    return hashlib.sha256(content).hexdigest()


def _broken(path: Path, error: Exception) -> UserError:
    reason = str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    return UserError(
        f"{path} cannot be read as an image ({reason}): replace or remove it, or go on with dataset.on_error=skip."
    )
