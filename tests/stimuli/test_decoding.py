"""Pixels as they were meant: every mode of Pillow in every format that stores it, by its mean pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convergence.stimuli.load import load
from convergence.stimuli.options import FilesConfig
from convergence.system.errors import UserError


def load_one(path: Path, **more: object) -> Image.Image:
    config = FilesConfig(name="image_folder", stimuli=None, root=str(path.parent), **more)  # type: ignore[arg-type]
    images = load(config, "all")
    return images.image(images.ids.index(path.name))


def of(mode: str, colour: object, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def array(values: float, dtype: str) -> Image.Image:
    return Image.fromarray(np.full((16, 16), values, dtype=dtype))


def palette(transparent: bool) -> Image.Image:
    image = of("P", 1)
    image.putpalette([255, 0, 0, 10, 200, 30])
    if transparent:
        image.info["transparency"] = bytes([255, 0])
    return image


def frames() -> list[Image.Image]:
    return [of("RGB", (200, 0, 0)), of("RGB", (0, 0, 200))]


GREY, CLEAR = (51, 51, 51), (128, 128, 128)
# what is saved, in which formats, and the pixel that it means
CASES = {
    "1": (lambda: of("1", 1), "png tiff bmp pbm gif", (255, 255, 255)),
    "L": (lambda: of("L", 51), "png tiff bmp jpg pgm gif webp jp2 tga", GREY),
    "LA, half clear": (lambda: of("LA", (255, 128)), "png tiff", (192, 192, 192)),
    "LA, clear": (lambda: of("LA", (255, 0)), "png tiff webp", CLEAR),
    "P": (lambda: palette(False), "png tiff bmp gif", (10, 200, 30)),
    "P, clear": (lambda: palette(True), "png", CLEAR),
    "RGB": (lambda: of("RGB", (40, 90, 160)), "png tiff bmp ppm tga jp2", (40, 90, 160)),
    "RGB, lossy": (lambda: of("RGB", (40, 90, 160)), "jpg webp", (40, 90, 160)),
    "RGBA, opaque": (lambda: of("RGBA", (40, 90, 160, 255)), "png tiff tga", (40, 90, 160)),
    "RGBA, clear": (lambda: of("RGBA", (250, 0, 0, 0)), "png tiff webp tga", CLEAR),
    "CMYK": (lambda: of("CMYK", (0, 255, 255, 0)), "tiff", (255, 0, 0)),
    "CMYK, lossy": (lambda: of("CMYK", (0, 255, 255, 0)), "jpg", (255, 0, 0)),
    "YCbCr": (lambda: of("RGB", (40, 90, 160)).convert("YCbCr"), "tiff jpg", (40, 90, 160)),
    "LAB": (lambda: of("LAB", (255, 128, 128)), "tiff", (255, 255, 255)),
    "16 bits": (lambda: array(13107, "uint16"), "png tiff pgm jp2", GREY),
    "16 bits, white": (lambda: array(65535, "uint16"), "png tiff", (255, 255, 255)),
    "32 bits": (lambda: array(2**31 // 5, "int32"), "tiff", GREY),
    "float": (lambda: array(0.2, "float32"), "tiff pfm", GREY),
    "float, white": (lambda: array(1.0, "float32"), "tiff", (255, 255, 255)),
    "black of 16 bits": (lambda: array(0, "uint16"), "png tiff", (0, 0, 0)),
}  # fmt: skip
EACH = [(name, ending) for name, (_, endings, _) in CASES.items() for ending in endings.split()]


@pytest.mark.parametrize(("name", "ending"), EACH, ids=[f"{n}.{e}" for n, e in EACH])
def test_an_image_shows_the_colour_that_was_saved(name: str, ending: str, tmp_path: Path) -> None:
    make, _, expected = CASES[name]
    path = tmp_path / f"x.{ending.upper()}"
    make().save(path, **({"lossless": True} if ending == "webp" and "lossy" not in name else {}))
    mean = np.asarray(load_one(path), dtype=float).mean((0, 1))
    assert np.abs(mean - expected).max() <= (4 if ending == "jpg" or "lossy" in name else 1)


@pytest.mark.parametrize("ending", ["gif", "tiff", "webp", "png"])
def test_of_several_frames_the_first_counts(ending: str, tmp_path: Path) -> None:
    first, *rest = frames()
    first.save(tmp_path / f"x.{ending}", save_all=True, append_images=rest)
    red, _, blue = np.asarray(load_one(tmp_path / f"x.{ending}"), dtype=float).mean((0, 1))
    assert red > 150
    assert blue < 50


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (array(3.5, "float32"), "floats go from 3.5 to 3.5, and only 0 (black) to 1 (white) has a meaning"),
        (array(float("nan"), "float32"), "floats go from nan to nan"),
        (array(-1.0, "float32"), "floats go from -1 to -1"),
        (array(200, "uint16"), "from 200 to 200 where white is 65,535: all would be black"),
        (array(200, "int32"), "all would be black"),
    ],
)
def test_what_would_be_white_or_black_in_silence_is_refused(image: Image.Image, message: str, tmp_path: Path) -> None:
    image.save(tmp_path / "x.tiff")
    with pytest.raises(UserError) as refused:
        load_one(tmp_path / "x.tiff")
    assert message in str(refused.value)
    assert "x.tiff" in str(refused.value)


@pytest.mark.parametrize(("given", "expected"), [(0, (0, 0, 0)), ([255, 0, 9], (255, 0, 9))])
def test_transparency_shows_the_background_that_is_asked_for(
    given: object, expected: tuple[int, int, int], tmp_path: Path
) -> None:
    of("RGBA", (9, 9, 9, 0)).save(tmp_path / "x.png")
    assert load_one(tmp_path / "x.png", background=given).getpixel((3, 3)) == expected
    config = FilesConfig(name="image_folder", stimuli=None, root=str(tmp_path))
    other = FilesConfig(name="image_folder", stimuli=None, root=str(tmp_path), background=given)
    assert load(config, "all").fingerprint != load(other, "all").fingerprint


@pytest.mark.parametrize("given", ["red", 256, [1, 2], -1, True, 0.5])
def test_a_background_that_is_no_colour_is_refused(given: object, tmp_path: Path) -> None:
    of("L", 3).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="give a grey value from 0 to 255"):
        load_one(tmp_path / "x.png", background=given)


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_as_its_camera_says_unless_that_is_left(
    ending: str, orientation: int, tmp_path: Path
) -> None:
    stored = np.zeros((8, 16, 3), dtype=np.uint8)
    stored[:4, :8] = 255  # the stored upper left
    path = tmp_path / f"x.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, exif=exif)
    as_stored = np.asarray(load_one(path, exif=False))
    assert as_stored.shape == (8, 16, 3)
    assert as_stored[1, 1].mean() > 200
    turned = np.asarray(load_one(path))
    height, width = (16, 8) if orientation >= 5 else (8, 16)
    assert turned.shape == (height, width, 3)
    # EXIF: where the stored upper left is shown.
    down, right = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    assert turned[1 - 2 * down if not down else height - 2, width - 2 if right else 1].mean() > 200
    config = FilesConfig(name="image_folder", stimuli=None, root=str(tmp_path))
    assert load(config, "all").common_size == (width, height)
