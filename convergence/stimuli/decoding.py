"""From a file's or a user's image to the RGB pixels that it is meant to show.

Every mode of Pillow is understood. Grey values of more than eight bits are shares of their file's range, floats are
taken from 0 to 1; what would silently become white or black is refused. Transparency shows the background. Of several
frames the first counts. Colour profiles are left alone: values are taken as they are stored, as networks are trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from convergence.system.errors import UserError

MID_GREY = 128
_ORIENTATION, _BITS, _SAMPLE_FORMAT = 0x0112, 258, 339  # tags of EXIF and TIFF
_SIGNED = 2  # sample format of TIFF
_TURNED = 5  # the orientations from here on swap width and height
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACK = {**_TURNS, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_OVERSHOOT = 1e-3  # beyond 0 and 1, of floats that were resampled
_STUBS = {"BUFR", "GRIB", "HDF5", "WMF", "MPEG"}  # formats that Pillow knows by name but does not decode


@dataclass(frozen=True)
class Look:
    """How images are to be read where that is a choice.

    Attributes
    ----------
    background : RGB, 0 … 255, what transparency shows.
    exif : whether a photograph is turned as its camera says.
    """

    background: tuple[int, int, int] = (MID_GREY,) * 3
    exif: bool = True


PLAIN = Look()


def look_of(background: Any, exif: bool) -> Look:
    """A grey value or [r, g, b] from the options.

    Raises
    ------
    UserError
        If it is neither.
    """
    given = list(background) if isinstance(background, Sequence) and not isinstance(background, str) else [background]
    whole = all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255 for value in given)
    if not whole or len(given) not in (1, 3):
        raise UserError(
            f"dataset.background={background} is no colour: give a grey value from 0 to 255, or [red,green,blue]."
        )
    red, green, blue = given * 3 if len(given) == 1 else given
    return Look((red, green, blue), exif)


def endings() -> frozenset[str]:
    """Lower-case endings of the files that Pillow decodes."""
    Image.init()
    readable = set(Image.OPEN) - _STUBS
    return frozenset(ending.lower() for ending, kind in Image.registered_extensions().items() if kind in readable)


def shown_size(image: Image.Image, look: Look) -> tuple[int, int]:
    """Width and height of an opened image as it will be shown; nothing is decoded."""
    width, height = image.size
    is_stored = look.exif is not (image.format == "TIFF")  # Pillow tells the size of TIFFs as they are turned
    return (height, width) if is_stored and _orientation(image) >= _TURNED else (width, height)


def as_meant(image: Image.Image, look: Look) -> Image.Image:
    """The RGB image.

    Grey of 16 bits is value / 65535; of 32 bits, value / the largest that the file's type can hold. Floats from 0 to 1
    are black to white.

    Raises
    ------
    ValueError
        If floats leave [0, 1], or values of 16 or 32 bits use so little of their range that all would be black.
    """
    orientation = _orientation(image)
    bits = _bits(image)
    image.load()
    if image.format == "TIFF":  # Pillow has turned it
        if not look.exif and orientation in _BACK:
            image = image.transpose(_BACK[orientation])
    elif look.exif and orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    if image.mode == "F":
        return _from_grey(_of_floats(np.asarray(image)))
    if image.mode.startswith("I"):
        return _from_grey(_of_integers(np.asarray(image), 2**16 - 1 if image.mode != "I" else bits))
    if image.has_transparency_data:
        over = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        ground = Image.new("RGBA", image.size, (*look.background, 255))
        return Image.alpha_composite(ground, over).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """1 (upright) to 8, as the file says; 1 where it says nothing that can be understood."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # malformed in one of many ways; the pixels may still be fine
        return 1
    return found if isinstance(found, int) else 1


def _bits(image: Image.Image) -> int:
    """The largest value that a file's integers can have."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return 2**16 - 1  # what Pillow scales other formats' integers to (PNG, PGM)
    bits = tags.get(_BITS, (16,))[0]
    signed = tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    return 2 ** (bits - 1 if signed else bits) - 1


def _of_floats(values: Any) -> Any:
    low, high = float(values.min()), float(values.max())
    if not (low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT):
        raise ValueError(f"its floats go from {low:.4g} to {high:.4g}, and only 0 (black) to 1 (white) has a meaning")
    return values.astype(np.float64).clip(0, 1) * 255


def _of_integers(values: Any, largest: int) -> Any:
    wide = values.astype(np.int64)
    if largest > 2**31 and wide.min() < 0:  # unsigned numbers that Pillow holds as signed ones
        wide = wide % 2**32
    low, high = int(wide.min()), int(wide.max())
    if low < 0 or 0 < high <= largest / 255:
        raise ValueError(f"its values go from {low:,} to {high:,} where white is {largest:,}: all would be black")
    return wide * (255 / largest)


def _from_grey(values: Any) -> Image.Image:
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8)).convert("RGB")
