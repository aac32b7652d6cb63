"""Options of metrics and chance (``conf/metric``, ``conf/null``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from convergence.alignment.metrics.catalogue import METRICS
from convergence.system.options import number
from convergence.system.seeds import seed


@dataclass
class MetricConfig:
    names: list[str] = field(default_factory=lambda: list(METRICS))  # see `convergence list metrics`
    folds: int = number(5, least=2)  # of the stimuli; each is held out once
    seed: int = seed(42)  # of which stimulus is in which fold


class NullKind(Enum):
    shuffle = "shuffle"  # the stimuli of one side in another order
    rotation = "rotation"  # the source times a random orthogonal matrix


@dataclass
class NullConfig:
    """Chance: what each score is compared with."""

    kinds: list[NullKind] = field(default_factory=list, metadata={"may_be_empty": True})
    draws: int = number(200, least=1)  # of each kind
    alpha: float = number(0.05, above=0, most=1)  # null_quantile is the (1 - alpha) quantile
    seed: int = seed(0)  # of the draws
    keep_draws: bool = False  # also a row for each draw
