"""Options of the data sets (``conf/dataset``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from convergence.system.options import Paths, number, path
from convergence.system.seeds import seed


class Transform(Enum):
    """How images become a network's input where it is not the model's own way; the normalisation stays the model's."""

    crop = "crop"  # the short side to the input's size, then the centre
    stretch = "stretch"  # both sides to the input's size: the whole image


class OnError(Enum):
    stop = "stop"
    skip = "skip"


class ShiftSource(Enum):
    """Where the images of axis=ood come from that are out of distribution."""

    generated = "generated"  # the data set's own images, distorted here
    model_vs_human = "model_vs_human"
    imagenet_c = "imagenet_c"
    imagenet_r = "imagenet_r"
    imagenet_a = "imagenet_a"
    imagenet_sketch = "imagenet_sketch"
    imagenet_v2 = "imagenet_v2"
    cifar10_c = "cifar10_c"
    image_folder = "image_folder"


@dataclass
class DatasetConfig(Paths):
    """What every data set has. `stimuli` images of the held-out split are compared (null: all of them)."""

    name: str = MISSING
    stimuli: int | None = number(2000, least=1)  # how many images are compared (null: all)
    seed: int = seed(0)  # of the drawing, or of which images are chosen
    train_images: int | None = number(None, least=1)  # how many images recipes are trained on (null: all)
    transform: Transform | None = None  # null: the model's own, or crop where model.image_size is given
    # Of axis=ood alone: which images are out of distribution.
    shifts: ShiftSource = ShiftSource.generated
    shifts_root: str | None = path()  # the folder of those that lie on disk
    levels: Any = "benchmark"  # benchmark: those that it averages over; all; or a list of levels, as [c05,0.10]
    conditions: list[str] | None = None  # names of shifts (null: all)


@dataclass
class ShapesConfig(DatasetConfig):
    name: str = "shapes"
    size: int = 32  # pixels to a side
    texture_reliability: float = 0.7  # share of the images whose texture goes with their class
    rendering: str = "natural"  # natural | outline | silhouette | sketch | texture_swap | cue_conflict
    train_images: int | None = number(4000, least=1)  # how many images recipes are trained on


@dataclass
class FilesConfig(DatasetConfig):
    """A data set that lies on disk under `root` (null: the usual places), or is downloaded there."""

    root: str | None = path()  # null: the usual places
    # Instead of folders: .csv, .tsv or .parquet with the columns path and, if known, id and label.
    table: str | None = path()
    download: bool = True  # what is missing, of sets that can be had
    on_error: OnError = OnError.stop
    background: Any = 128  # what transparent pixels show: a grey value from 0 to 255, or [red,green,blue]
    exif: bool = True  # whether photographs are turned as their camera says


@dataclass
class ModuleConfig(DatasetConfig):
    """Images that code of the user's own gives."""

    name: str = "module"
    # FILE.py:NAME or package.module:NAME: a callable that returns a sequence of (PIL image or tensor, label or None),
    # or of images alone; it may take `split` ("train" or "test").
    factory: str | None = path()
    arguments: dict[str, Any] = field(default_factory=dict)  # further keyword arguments of it
    stimuli: int | None = number(None, least=1)  # how many images are compared (null: all)
    background: Any = 128  # what transparent pixels show: a grey value from 0 to 255, or [red,green,blue]
    exif: bool = True  # whether photographs are turned as their camera says
