"""Every option as a typed dataclass. A leaf, so that every module may name its types."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from omegaconf import MISSING

from convergence.errors import UserError
from convergence.metrics.catalogue import METRICS


def _number(default: Any, *, least: float | None = None, above: float | None = None, most: float | None = None) -> Any:
    """A number within bounds, which :func:`check` looks at."""
    return field(default=default, metadata={"least": least, "above": above, "most": most})


def check(options: Any, prefix: str = "") -> None:
    """Refuse numbers out of their bounds and empty lists, by the option's full name, before any work begins.

    Raises
    ------
    UserError
        Saying what the option may be.
    """
    for f in fields(options):
        value, name = getattr(options, f.name), f"{prefix}{f.name}"
        if is_dataclass(value):
            check(value, f"{name}.")
        if value == [] and "may_be_empty" not in f.metadata:
            raise UserError(f"{name}=[] names nothing: give one or more, or leave it out.")
        if value is None or "least" not in f.metadata:
            continue
        least, above, most = (f.metadata[bound] for bound in ("least", "above", "most"))
        allowed = [
            *([f"at least {least:g}"] if least is not None else []),
            *([f"more than {above:g}"] if above is not None else []),
            *([f"at most {most:g}"] if most is not None else []),
        ]
        low = (least is not None and value < least) or (above is not None and value <= above)
        if low or (most is not None and value > most) or value != value:
            raise UserError(f"{name}={value} is out of bounds: give a number that is {' and '.join(allowed)}.")


class Metric(Enum):
    linear = "linear"
    procrustes = "procrustes"
    permutation = "permutation"
    soft_matching = "soft_matching"
    partial_soft_matching = "partial_soft_matching"
    cca = "cca"
    pwcca = "pwcca"
    cka = "cka"
    rsa = "rsa"
    mutual_knn = "mutual_knn"


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
    bfloat16 = "bfloat16"
    float16 = "float16"


class Transform(Enum):
    """How images become a network's input where it is not the model's own way; the normalisation stays the model's."""

    crop = "crop"  # the short side to the input's size, then the centre
    stretch = "stretch"  # both sides to the input's size: the whole image


class OnError(Enum):
    stop = "stop"
    skip = "skip"


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


class Pairs(Enum):
    all = "all"
    matched = "matched"


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


class Pairing(Enum):
    """Which networks of a population meet: of one architecture, of two, or all."""

    all = "all"
    within = "within"
    across = "across"


# ---------------------------------------------------------------- dataset


@dataclass
class DatasetConfig:
    """What every data set has. `stimuli` images of the held-out split are compared (null: all of them)."""

    name: str = MISSING
    stimuli: int | None = _number(2000, least=1)
    seed: int = 0  # of the drawing, or of which images are chosen
    train_images: int | None = _number(None, least=1)  # how many images recipes are trained on (null: all)
    transform: Transform | None = None  # null: the model's own, or crop where model.image_size is given
    # Of axis=ood alone: which images are out of distribution.
    shifts: ShiftSource = ShiftSource.generated
    shifts_root: str | None = None  # the folder of those that lie on disk
    levels: Any = "benchmark"  # benchmark: those that it averages over; all; or a list of levels, as [c05,0.10]
    conditions: list[str] | None = None  # names of shifts (null: all)


@dataclass
class ShapesConfig(DatasetConfig):
    name: str = "shapes"
    size: int = 32
    texture_reliability: float = 0.7  # share of the images whose texture goes with their class
    rendering: str = "natural"  # natural | outline | silhouette | sketch | texture_swap | cue_conflict
    train_images: int | None = _number(8000, least=1)


@dataclass
class FilesConfig(DatasetConfig):
    """A data set that lies on disk under `root` (null: the usual places), or is downloaded there."""

    root: str | None = None
    download: bool = True
    on_error: OnError = OnError.stop


# ---------------------------------------------------------------- model


@dataclass
class SeedsConfig:
    """Independent seeds of initialisation and of data order (order null: the same as init).

    A single seed of either holds for all networks: init=[0] order=[0,1,2] varies the order alone.
    """

    init: list[int] = field(default_factory=lambda: [0, 1])
    order: list[int] | None = None


@dataclass
class TrainingConfig:
    epochs: int = _number(10, least=0)
    batch_size: int = _number(128, least=1)
    learning_rate: float = _number(0.1, above=0)
    momentum: float = _number(0.9, least=0, most=1)
    weight_decay: float = _number(5e-4, least=0)
    optimizer: Optimizer = Optimizer.sgd
    warmup: float = _number(0.1, least=0, most=1)  # share of all steps
    schedule: Schedule = Schedule.cosine
    augment: list[Augmentation] = field(default_factory=lambda: [Augmentation.shift], metadata={"may_be_empty": True})
    mixed_precision: bool = False  # forward and backward in bfloat16, weights in float32; slower on most CPUs
    early_checkpoints: int = _number(6, least=0)  # log-spaced steps inside the first epoch


@dataclass
class ModelConfig:
    """What every source of networks has: which layers are tapped, and how maps become units."""

    name: str = MISSING
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    layers: list[str] | None = None  # patterns (shell style) on module names; null: the default layers
    units: Units | None = None  # null: center for maps, cls for tokens (mean in networks without a class token)
    precision: Precision = Precision.float32  # of the forward pass; the narrower ones by autocast
    image_size: int | None = _number(None, least=1)  # null: the model's own, for recipes the images' own


@dataclass
class RecipeConfig(ModelConfig):
    """An architecture of ours, trained here from seeds."""

    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class LibraryConfig(ModelConfig):
    """A torchvision or timm architecture. Without weights and checkpoints: untrained networks from `seeds.init`."""

    library: Library = MISSING
    weights: list[str] | None = None  # the library's own, by name or tag
    # The user's files: a path, a pattern such as runs/seed_{seed}/epoch_{epoch}.pth, package:NAME/FILE for one inside
    # of an installed Python package, or a list of these.
    checkpoints: Any = None
    # Renames the weights in them: regular expression → replacement, one after the other, on every name. Of a list, the
    # element is taken whose number the first group has captured.
    key_map: dict[str, Any] = field(default_factory=dict)


@dataclass
class PopulationConfig(ModelConfig):
    """Many networks, of any sources. `layers`, `units`, `image_size` and `seeds` hold where a member names none."""

    name: str = "population"
    # A list, or a file of one (YAML, or text with a member a line): names of model choices (tiny_vgg),
    # library/name:weights (timm/resnet50:a1_in1k), or mappings such as {model: tiny_vgg, seeds: {init: [0, 1]}}.
    members: Any = None
    pairing: Pairing = Pairing.all
    per_job: int = _number(1, least=1)  # comparisons that one job of a sweep makes
    part: list[str] | None = None  # which of the comparisons this job makes (null: all); a sweep sets it


# ---------------------------------------------------------------- metric, axis, the whole


@dataclass
class MetricConfig:
    names: list[Metric] = field(default_factory=lambda: [Metric(m) for m in METRICS])
    folds: int = _number(5, least=2)
    seed: int = 42


class NullKind(Enum):
    shuffle = "shuffle"  # the stimuli of one side in another order
    rotation = "rotation"  # the source times a random orthogonal matrix


@dataclass
class NullConfig:
    """Chance: what each score is compared with."""

    kinds: list[NullKind] = field(default_factory=list, metadata={"may_be_empty": True})
    draws: int = _number(200, least=1)
    alpha: float = _number(0.05, above=0, most=1)  # null_quantile is the (1 - alpha) quantile
    seed: int = 0
    keep_draws: bool = False  # also a row for each draw


@dataclass
class AxisConfig:
    """What an experiment compares."""

    name: str = MISSING


@dataclass
class DepthConfig(AxisConfig):
    name: str = "depth"
    pairs: Pairs = Pairs.all
    untrained: bool = True  # also score the untrained pair, the baseline that architecture alone gives
    stimuli_sweep: list[int] | None = None  # also the first so many stimuli, corresponding layers of the trained pairs


@dataclass
class TrainingAxisConfig(AxisConfig):
    name: str = "training"
    checkpoints: list[float] | None = None  # epochs done (0 untrained), null: all that every seed has
    cross_time: bool = False  # also each checkpoint with each other one: seed A at step s with seed B at step t
    between: bool = True  # pairs of training runs
    baselines: bool = True  # each training run's end with raw pixels, and with `cross_time` with its own checkpoints


class Protocol(Enum):
    """Where a map that is scored out of distribution was fitted."""

    refit = "refit"  # on the shifted images of the other folds
    transfer = "transfer"  # within distribution, on the images of the other folds


@dataclass
class OodConfig(AxisConfig):
    name: str = "ood"
    protocols: list[Protocol] = field(default_factory=lambda: list(Protocol))
    untrained: bool = False  # also the untrained pair, under every shift


@dataclass
class Config:
    model: ModelConfig = MISSING
    against: ModelConfig | None = None
    metric: MetricConfig = MISSING
    dataset: DatasetConfig = MISSING
    axis: AxisConfig = MISSING
    null: NullConfig = field(default_factory=NullConfig)
    # What follows changes no number, and so stays out of the run's hash.
    output: str = "outputs"
    cache: str = "${output}/.cache"
    device: str = "auto"
    batch_size: int = _number(256, least=1)
    workers: int | None = _number(None, least=0)  # processes that prepare images; null: for a GPU one per core
    memory_gb: float = _number(2.0, above=0)
    cache_gb: float = _number(100.0, above=0)  # larger responses of one network are computed anew for each pass
    force: bool = False
    figures: bool = True
    progress: bool = True
    debug: bool = False
