"""The comparisons of a population: which networks meet, each meeting a run of its own.

A run's folder is named by what is compared in it, not by the population it was planned for. So populations share what
they have in common, one that has grown computes what is new, and jobs need nothing from one another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from convergence.axes.options import DepthConfig, TrainingAxisConfig
from convergence.experiment.config import Config, Pairing, PopulationConfig
from convergence.experiment.members import architecture, is_pretrained, label, members, together
from convergence.models.options import ArraysConfig, ModelConfig, SeedsConfig
from convergence.system import user_code
from convergence.system.errors import UserError
from convergence.system.hashing import digest

_Pair = tuple[ModelConfig, ModelConfig]


def of(config: Config) -> PopulationConfig | None:
    """The population of a config, None if it names its networks singly."""
    return next((side for side in config.sides if isinstance(side, PopulationConfig)), None)


def units(config: Config) -> list[Config]:
    """The runs that a config stands for: itself, or those of its population.

    Pairs are ordered so that neighbours share no network: jobs that start together do not wait for each other.

    Raises
    ------
    UserError
        If the population is not understood, or no two networks of it meet.
    """
    population = of(config)
    if population is None:
        return [config]
    if config.against is None:
        found = _rounds(members(config.model))
    else:
        found = list(product(members(config.model), members(config.against)))
    met = [(a, b) for a, b in found if _meet(a, b, population.pairing)]
    if not met:
        raise UserError(
            f"no two networks of the population meet (model.pairing={population.pairing.value}): name more members, or "
            "another pairing."
        )
    return _dedupe([*_pairs(config, met), *_baselines(config, met)])


def _meet(a: ModelConfig, b: ModelConfig, pairing: Pairing) -> bool:
    if a == b:
        return False
    return pairing is Pairing.all or (architecture(a) == architecture(b)) is (pairing is Pairing.within)


def _rounds(nodes: Sequence[ModelConfig]) -> list[_Pair]:
    """All pairs, as the rounds of a tournament (the circle method): in each every network meets one other."""
    ring: list[int | None] = [*range(len(nodes)), *([None] if len(nodes) % 2 else [])]
    pairs = []
    for _ in range(len(ring) - 1):
        for i, j in zip(ring[: len(ring) // 2], ring[::-1], strict=False):
            if i is not None and j is not None:
                pairs.append((min(i, j), max(i, j)))
        ring = [ring[0], ring[-1], *ring[1:-1]]
    return [(nodes[i], nodes[j]) for i, j in pairs]


def _pairs(config: Config, met: Sequence[_Pair]) -> list[Config]:
    """One run a pair, without what belongs to single networks or to architectures."""
    found = []
    for a, b in met:
        axis = config.axis
        if isinstance(axis, DepthConfig) and axis.untrained and _apart(a, b):
            axis = replace(axis, untrained=False)
        if isinstance(axis, TrainingAxisConfig):
            axis = replace(axis, baselines=False)
        same = architecture(a) == architecture(b)
        found.append(replace(config, model=together(a, b) if same else a, against=None if same else b, axis=axis))
    return found


def _baselines(config: Config, met: Sequence[_Pair]) -> list[Config]:
    """What is compared once for many pairs: untrained networks of two architectures, or one run with its own pixels."""
    axis = config.axis
    if isinstance(axis, TrainingAxisConfig) and axis.baselines:
        alone = replace(axis, between=False)
        return [replace(config, model=one, against=None, axis=alone) for pair in met for one in pair]
    if not isinstance(axis, DepthConfig) or not axis.untrained:
        return []
    found = []
    for a, b in met:
        if _apart(a, b):
            x, y = sorted((_untrained(a), _untrained(b)), key=repr)
            x, y = replace(x, seeds=SeedsConfig([0])), replace(y, seeds=SeedsConfig([1]))
            same = architecture(a) == architecture(b)
            found.append(replace(config, model=together(x, y) if same else x, against=None if same else y))
    return found


def _apart(a: ModelConfig, b: ModelConfig) -> bool:
    """Whether the pair's untrained state is that of many pairs: of architectures, or of one with a recording."""
    return any(map(is_pretrained, (a, b))) and all(
        is_pretrained(one) or isinstance(one, ArraysConfig) for one in (a, b)
    )


def _untrained(member: ModelConfig) -> ModelConfig:
    """Its architecture before training; a recording has no such state, and stays what it is."""
    return member if isinstance(member, ArraysConfig) else architecture(member)


def _dedupe(configs: list[Config]) -> list[Config]:
    return list({repr((one.model, one.against, one.axis)): one for one in configs}.values())


def key(unit: Config) -> str:
    """A short name of what a run of a population compares, the same whatever the data set and the metrics."""
    sides = [None if side is None else dataclasses.asdict(side) for side in (unit.model, unit.against)]
    # A letter first: never read as a number.
    return f"c{digest(user_code.identified(sides), dataclasses.asdict(unit.axis))[:10]}"


def title(unit: Config) -> str:
    """For people: which networks meet in this run."""
    sides = [label(side) for side in (unit.model, unit.against) if side is not None]
    pixels = isinstance(unit.axis, TrainingAxisConfig) and not unit.axis.between
    return " × ".join([*sides, *(["baselines"] if pixels else [])])
