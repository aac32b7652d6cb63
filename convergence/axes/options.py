"""Options of the axes (``conf/axis``), and an experiment: everything that changes a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from convergence.alignment.options import MetricConfig, NullConfig
from convergence.models.options import ModelConfig
from convergence.stimuli.options import DatasetConfig


class Pairs(Enum):
    all = "all"
    matched = "matched"


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
class Experiment:
    """What changes a number."""

    model: ModelConfig = MISSING
    against: ModelConfig | None = None
    metric: MetricConfig = MISSING
    dataset: DatasetConfig = MISSING
    axis: AxisConfig = MISSING
    null: NullConfig = field(default_factory=NullConfig)

    @property
    def sides(self) -> list[ModelConfig]:
        """``model``, and ``against`` if there is one."""
        return [self.model] if self.against is None else [self.model, self.against]
