"""Shifted sets and ImageNet as they lie on disk, in images of one colour that tells what they are of."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from convergence.stimuli.base import Stimuli
from convergence.stimuli.conditions.conditions import Condition
from convergence.stimuli.imagenet import CATEGORIES, class_order
from convergence.stimuli.options import FilesConfig, ShiftSource
from convergence.stimuli.shifts import SHIFTS

NAMES = tuple(CATEGORIES)
CODES = {
    **{"colour": "cl", "contrast": "cop", "high-pass": "hp", "low-pass": "lp", "phase-scrambling": "ps"},
    **{"power-equalisation": "pow", "false-colour": "fc", "rotation": "rot", "uniform-noise": "nse"},
    **{"eidolonI": "eid", "eidolonII": "eid", "eidolonIII": "eid", "sketch": "ske", "stylized": "sty"},
}
# Ids of photographs as they end the benchmark's file names.
IDS = ("n02106662_13-4", "10_b-c_d.e", "00000-000000012345", "_-_")
OTHER_SPELLINGS = {"3": "3.0", "1": "1.0", "0.10": "0.1", "true": "True", "false": "False", "0.00": "0.0"}


def png(*colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (*colour, 0, 0)[:3]).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, *colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(*colour))


def colour_of(images: Stimuli, i: int) -> tuple[int, ...]:
    pixel = images.image(i).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return tuple(map(int, pixel))


def write_set(root: Path, name: str, *, respelled: bool = False, levels: tuple[str, ...] | None = None) -> None:
    """A set in the benchmark's layout; a red channel of its category, green of its level, blue of its texture."""
    number = 0
    for label, category in enumerate(NAMES):
        if name in ("edge", "silhouette"):
            write(root / name / category / f"{category}4.png", label)
        elif name == "cue-conflict":
            texture = (label + 3) % len(NAMES)
            write(root / name / category / f"{category}1-{NAMES[texture]}2.png", label, 0, texture)
        else:
            for place, level in enumerate(SHIFTS[name].levels):
                if levels is not None and level not in levels:
                    continue
                token = OTHER_SPELLINGS.get(level, level) if respelled else level
                number += 1
                file = f"{number:04d}_{CODES[name]}_dnn_{token}_{category}_{number % 7}_{IDS[number % len(IDS)]}.png"
                write(root / name / "dnn" / "session-1" / file, label, place)


def write_imagenet(root: Path, wnids: list[str], each: int = 2) -> None:
    for wnid in wnids:
        for i in range(each):
            write(root / "val" / wnid / f"ILSVRC2012_val_{wnid[-4:]}{i:04d}.png", class_order().index(wnid) % 256, i)


ONE_OF_EACH = [class_order()[places[0]] for places in CATEGORIES.values()]
CHIHUAHUA = "n02085620"


def config(tmp_path: Path, source: ShiftSource, **options: object) -> FilesConfig:
    given = {"name": "imagenet", "root": str(tmp_path / "imagenet"), "shifts_root": str(tmp_path / "sets")}
    return FilesConfig(**{**given, "download": False, "stimuli": None, "shifts": source, **options})  # type: ignore[arg-type]


def by_name(found: list[Condition]) -> dict[tuple[str, str], Condition]:
    return {(c.name, c.level): c for c in found}
