"""What an experiment compares: each axis turns a config into comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TypeVar

from convergence.alignment import folds
from convergence.alignment.metrics import catalogue
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.options import MetricConfig
from convergence.axes.options import Experiment, Pairs
from convergence.axes.recorded import common
from convergence.axes.splits import split_of
from convergence.models.network import Network
from convergence.models.recordings.recording import Recording
from convergence.results.correspondence import corresponding_layers
from convergence.stimuli import load as stimuli
from convergence.stimuli.base import Stimuli
from convergence.stimuli.conditions.conditions import Condition

_T = TypeVar("_T")


@dataclass(frozen=True)
class Comparison:
    """Networks x and networks y on the same stimuli: the unit of work, and one shard of results.

    Attributes
    ----------
    name : unique in the run, and a file's name.
    x, y : the networks of either side, such as the checkpoints of one training run.
    pairs : which layer of which network with which: pairs of the labels that :func:`labels` gives.
    stimuli : those within distribution.
    conditions : out of distribution, the levels of one shift that take the stimuli's place; else none.
    first : only so many of the stimuli, the first ones; all if None.
    """

    name: str
    x: tuple[Network, ...]
    y: tuple[Network, ...]
    pairs: tuple[Pair, ...]
    stimuli: Stimuli
    conditions: tuple[Condition, ...] = ()
    first: int | None = None

    @property
    def networks(self) -> tuple[Network, ...]:
        """All whose responses differ, each once."""
        return tuple({n.key: n for n in (*self.x, *self.y)}.values())

    @property
    def all_stimuli(self) -> list[Stimuli]:
        """Within and out of distribution."""
        return [self.stimuli, *(condition.stimuli for condition in self.conditions)]

    def __str__(self) -> str:
        what = f", {self.conditions[0].name}" if self.conditions else ""
        what += f", the first {self.first:,} stimuli" if self.first else ""
        return " × ".join(f"{side[-1]}" for side in (self.x, self.y)) + what


def held_out(config: Experiment) -> Stimuli:
    """The held-out images that an axis within distribution compares networks on; with recordings, the common ones.

    Raises
    ------
    UserError
        If they are missing, broken, or too few for the folds: before anything is trained.
    """
    images = common(config) or stimuli.load(config.dataset, split_of(config))
    check_folds(config.metric, len(images))
    return images


def check_folds(metric: MetricConfig, stimuli: int) -> None:
    """Refuse so few stimuli that the folds, or one of the metrics, can't do with them."""
    folds.assign(stimuli, metric.folds)
    catalogue.check(catalogue.resolve(metric.names), stimuli, metric.folds)


def labels(networks: Sequence[Network]) -> dict[str, tuple[int, str]]:
    """One name for each layer of each network: the network's place, and the layer."""
    if len(networks) == 1:
        return {layer: (0, layer) for layer in networks[0].layers}
    return {f"{layer} of checkpoint {i}": (i, layer) for i, n in enumerate(networks) for layer in n.layers}


def compare(
    name: str,
    x: Sequence[Network],
    y: Sequence[Network],
    which: Iterable[tuple[int, int]],
    layers: Pairs,
    images: Stimuli,
) -> Comparison:
    """Networks ``x[i]`` with ``y[j]`` for each (i, j) of ``which``: all layers, or the corresponding ones."""
    names_x, names_y = ({place: label for label, place in labels(side).items()} for side in (x, y))
    pairs = [
        (names_x[i, a], names_y[j, b])
        for i, j in which
        for a, b in (product(x[i].layers, y[j].layers) if layers is Pairs.all else corresponding(x[i], y[j]))
    ]
    return Comparison(name, tuple(x), tuple(y), tuple(pairs), images)


def corresponding(x: Network, y: Network) -> list[Pair]:
    """Layers of the same place; between architectures, each layer with those of the nearest relative depth.

    Areas of recordings correspond by name, where some have the same; to a network's layers, each to all.
    """
    if isinstance(x, Recording) or isinstance(y, Recording):
        same = [(name, name) for name in x.layers if name in y.layers]
        return same or list(product(x.layers, y.layers))
    return corresponding_layers(x.depths, y.depths)


def pairs_of(groups: Sequence[Sequence[_T]]) -> list[tuple[_T, _T]]:
    """All pairs within one group, or of the members of one with those of another."""
    return list(combinations(groups[0], 2)) if len(groups) == 1 else list(product(groups[0], groups[1]))
