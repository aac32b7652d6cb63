"""Options of the networks (``conf/model``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from convergence.system.options import Paths, number, path
from convergence.system.seeds import BOUNDS


class Units(Enum):
    """How a feature map becomes units (METHODS: from feature maps to units)."""

    center = "center"
    mean = "mean"
    samples = "samples"
    flatten = "flatten"
    cls = "cls"


class Precision(Enum):
    """Of the forward pass alone: units are kept as float32, their moments as float64."""

    float32 = "float32"
    tf32 = "tf32"  # float32, but on a GPU products are rounded to 10 bits, as fast as bfloat16; on a CPU the same
    bfloat16 = "bfloat16"
    float16 = "float16"


class Library(Enum):
    torchvision = "torchvision"
    timm = "timm"


class Optimizer(Enum):
    sgd = "sgd"
    adamw = "adamw"


class Schedule(Enum):
    """Learning rate after the warm-up."""

    cosine = "cosine"
    linear = "linear"
    constant = "constant"


class Augmentation(Enum):
    shift = "shift"  # by up to an eighth of the image, edges repeated
    flip = "flip"  # left to right, every other time


@dataclass
class SeedsConfig:
    """Independent seeds of initialisation and of data order (order null: the same as init).

    A single seed of either holds for all networks: init=[0] order=[0,1,2] varies the order alone.
    """

    init: list[int] = field(default_factory=lambda: [0, 1], metadata=BOUNDS)  # of the weights: a network for each
    order: list[int] | None = field(default=None, metadata=BOUNDS)  # of the images in training; null: as init


@dataclass
class TrainingConfig:
    epochs: int = number(10, least=0)  # passes over the training images
    batch_size: int = number(128, least=1)  # images in one step
    learning_rate: float = number(0.1, above=0)  # the largest, after the warm-up
    momentum: float = number(0.9, least=0, most=1)  # of sgd; of adamw the first beta
    weight_decay: float = number(5e-4, least=0)  # of weights, not of biases and normalisation
    optimizer: Optimizer = Optimizer.sgd
    warmup: float = number(0.1, least=0, most=1)  # share of all steps
    schedule: Schedule = Schedule.cosine
    augment: list[Augmentation] = field(default_factory=lambda: [Augmentation.shift], metadata={"may_be_empty": True})
    mixed_precision: bool = False  # forward and backward in bfloat16, weights in float32; slower on most CPUs
    early_checkpoints: int = number(6, least=0)  # log-spaced steps inside the first epoch


@dataclass
class ModelConfig(Paths):
    """What every source of networks has: which layers are tapped, and how maps become units."""

    name: str = MISSING
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    layers: list[str] | None = None  # patterns (shell style) on module names; null: the default layers
    units: Units | None = None  # null: by layer, center for maps, cls for tokens with a class token, mean for others
    precision: Precision = Precision.float32  # of the forward pass; the narrower ones by autocast
    image_size: int | None = number(None, least=1)  # null: the model's own, for recipes the images' own


@dataclass
class ArchitectureConfig(ModelConfig):
    """An architecture that takes the user's weights, and that can be trained here from seeds."""

    training: TrainingConfig = field(default_factory=TrainingConfig)
    # The user's files: a path, a pattern such as runs/seed_{seed}/epoch_{epoch}.pth, package:NAME/FILE for one inside
    # of an installed Python package, or a list of these.
    checkpoints: Any = path()
    weights_key: str | None = None  # which weights, where a file holds several: state_dict_ema, teacher, encoder_q
    # Renames the weights in them: regular expression → replacement, one after the other, on every name; "!" drops what
    # matches. Of a list, the element is taken whose number the first group has captured. On the command line a list:
    # ["^_conv_stem=>conv_stem","^queue=>!"]
    key_map: Any = None
    mean: list[float] | None = None  # of the input's normalisation, for red, green, blue in 0–1; null: the model's own
    std: list[float] | None = None  # the same for the standard deviation


@dataclass
class RecipeConfig(ArchitectureConfig):
    """An architecture of ours, trained here from seeds, or with the weights of `checkpoints`."""

    train: bool = True  # false without checkpoints: untrained networks from `seeds.init`


@dataclass
class LibraryConfig(ArchitectureConfig):
    """A torchvision or timm architecture. Without weights and checkpoints: untrained networks from `seeds.init`."""

    library: Library = MISSING
    weights: list[str] | None = None  # the library's own, by name or tag
    train: bool = False  # train it here, from seeds, by training


@dataclass
class ArraysConfig(ModelConfig):
    """Recorded responses; `layers` are patterns on the names of the arrays, in a file the areas."""

    name: str = "recorded"
    # .npz, .npy, .h5, .mat, .parquet, .safetensors or .nc files, or folders of .npy files, of (M, N) or, with repeats,
    # (R, M, N) arrays and `stimulus_ids`: a path, a pattern, a list of these, or a mapping from names to paths.
    files: Any = None
    stimulus_ids: str | None = None  # a file of ids, one a line or .npy, for files that have none of their own


@dataclass
class ModuleConfig(ArchitectureConfig):
    """The user's own network. Without checkpoints: untrained networks from `seeds.init`."""

    name: str = ""  # "": as the factory is called
    factory: str = path("")  # FILE.py:NAME or package.module:NAME, a callable that returns an nn.Module
    arguments: dict[str, Any] = field(default_factory=dict)  # of the factory, by name
    preprocess: str | None = path()  # FILE.py:NAME, from a PIL image to an input tensor, in place of size, mean and std
    train: bool = False  # train it here, from seeds, by training

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name:
            self.name = self.factory.rpartition(":")[2].strip()


def is_trained_here(config: ModelConfig) -> bool:
    """Whether the networks are trained by us, from seeds."""
    if isinstance(config, RecipeConfig):
        return config.train and not config.checkpoints
    return isinstance(config, LibraryConfig | ModuleConfig) and config.train
