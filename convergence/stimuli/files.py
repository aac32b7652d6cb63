"""Images as files: listed first, opened when chosen, decoded when asked for."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from convergence.stimuli.base import Made, Stimuli
from convergence.stimuli.decoding import PLAIN, Look, as_meant, shown_size
from convergence.stimuli.options import OnError
from convergence.system.errors import UserError
from convergence.system.hashing import digest
from convergence.system.progress import progress

_VERSION = 1  # of the way from files to pixels: raise it whenever a pixel changes
_BATCH = 512
_PER_THREAD = 8  # images that are worth a thread
# What Pillow raises for files that are truncated, of another kind, or malformed in one of many ways.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass
class FileStimuli(Stimuli):
    """Images decoded when asked for.

    Attributes
    ----------
    top : the folder that they lie below.
    files : their places below ``top``; none, if these are the ``ids``.
    look : how they are to be read.
    size : width and height, where all have been opened and found to be of one size.
    about : of how many images of what they were chosen, in words.
    """

    top: Path = Path()
    files: tuple[str, ...] = ()
    look: Look = PLAIN
    size: tuple[int, int] | None = None
    about: str = ""

    def path(self, i: int) -> Path:
        return self.top / (self.files or self.ids)[i]

    def image(self, i: int) -> Image.Image:
        path = self.path(i)
        try:
            with Image.open(path) as image:
                return as_meant(image, self.look)
        except _BROKEN as error:
            raise _broken(path, error) from None

    def each(self, indices: Sequence[int], make: Callable[[Image.Image], Made]) -> list[Made]:
        """On as many threads as torch may use, since Pillow decodes and resizes without Python's lock.

        ``make`` has to be safe to be called by several threads at a time.
        """
        threads = min(torch.get_num_threads(), len(indices) // _PER_THREAD)  # one in a worker of a DataLoader
        if threads < 2:
            return super().each(indices, make)
        parts = [indices[len(indices) * i // threads : len(indices) * (i + 1) // threads] for i in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda part: Stimuli.each(self, part, make), parts)
            return [made for part in found for made in part]

    @property
    def common_size(self) -> tuple[int, int] | None:
        return self.size

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        if self.size is None or self.size[0] != self.size[1]:
            return None
        found = self.each(indices, np.asarray)
        for i, image in zip(indices, found, strict=True):
            if image.shape[1::-1] != self.size:
                raise UserError(f"{self.path(int(i))} has changed its size since it was listed: start again.")
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()

    def take(self, indices: Sequence[int]) -> FileStimuli:
        return replace(
            self,
            ids=tuple(self.ids[i] for i in indices),
            files=tuple(self.files[i] for i in indices) if self.files else (),
            labels=self.labels[list(indices)],
            fingerprint=digest(self.fingerprint, list(indices)),
        )


def listed(name: str, top: Path, classes: tuple[str, ...], found: Iterable[tuple[str, int]]) -> FileStimuli:
    """Images by their place below ``top`` and label, none of them opened: the fingerprint knows no content yet."""
    # Sets that are distorted in many ways have the same names again and again: each is kept once.
    pairs = [(sys.intern(image_id), label) for image_id, label in found]
    return FileStimuli(
        name,
        classes,
        ids=tuple(image_id for image_id, _ in pairs),
        labels=torch.tensor([label for _, label in pairs], dtype=torch.int64),
        fingerprint="",
        top=top,
    )


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
    seen: list[list[tuple[str, tuple[int, int]]]] = []  # hash and size of each
    at, most = 0, len(together[0])
    wanted = min(wanted, most)
    with ThreadPoolExecutor() as pool, progress("Checking images", wanted * len(together), "images") as advance:
        while len(good) < wanted and at < most:
            part = range(at, min(at + max(_BATCH // len(together), 1), at + wanted - len(good), most))
            # Read by the pool, and taken in order, so that it is always the same image that is named.
            read = [pool.submit(_read, listing.path(i), listing.look, on_error) for i in part for listing in together]
            contents = [future.result() for future in read]
            for number, i in enumerate(part):
                row = [c for c in contents[number * len(together) : (number + 1) * len(together)] if c is not None]
                if len(row) == len(together):
                    good.append(i)
                    seen.append(row)
                    advance(len(together))
            at = part.stop
    result = []
    for number, listing in enumerate(together):
        kept = listing.take(good)
        hashes, sizes = [row[number][0] for row in seen], {row[number][1] for row in seen}
        look = (_VERSION, kept.look.background, kept.look.exif)
        fingerprint = digest(kept.ids, kept.classes, kept.labels.tolist(), hashes, look, kept.members)
        size = sizes.pop() if len(sizes) == 1 else None
        result.append(replace(kept, fingerprint=fingerprint, skipped=at - len(good), size=size))
    return result


def _read(path: Path, look: Look, on_error: OnError) -> tuple[str, tuple[int, int]] | None:
    """A hash of the content, and the size that it is shown at; None if it is no image."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            size = shown_size(image, look)
            image.draft("RGB", (1, 1))  # a JPEG is then read to its end at an eighth of its size
            as_meant(image, look)
    except _BROKEN as error:
        if on_error is OnError.stop:
            raise _broken(path, error) from None
        return None
    return hashlib.sha256(content).hexdigest(), size


def _broken(path: Path, error: Exception) -> UserError:
    reason = str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # its own message tells an address in memory
        reason = "its content is of no format that Pillow knows"
    return UserError(
        f"{path} cannot be read as an image ({reason}): replace or remove it, or go on with dataset.on_error=skip."
    )
