"""Which metrics apply to which pairs of layers, known from widths and positions alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.moments.accumulate import Pair, Representation
from convergence.system.notes import say_once

_SEVERAL = "can't compare stimuli that have several samples each"
_ONE_EACH = "use units=center, units=mean or units=flatten"


def applies(x: Representation, y: Representation, pair: Pair, metrics: Sequence[str]) -> bool:
    """Whether any of the metrics applies to the pair."""
    (a, b), positions = pair, x.positions[pair[0]]
    if positions != y.positions[b]:
        return False
    return any(catalogue.find(m).applies(x.layers[a], y.layers[b], positions) for m in metrics)


def say_left_out(x: Representation, pairs: Sequence[Pair], metrics: Sequence[str]) -> None:
    """Say which metrics pass over layers that give several samples of each stimulus."""
    single = [metric for metric in metrics if catalogue.find(metric).single_position]
    if single and any(x.positions[a] > 1 for a, _ in pairs):
        say_once(
            f"{', '.join(single)} {_SEVERAL}, and passes over such layers: {_ONE_EACH}.",
            logging.WARNING,
        )


def why_none(x: Representation, y: Representation, pairs: Sequence[Pair], metrics: Sequence[str]) -> str:
    """Why none of the metrics applies to any of the pairs, and what to do."""
    if all(x.positions[a] != y.positions[b] for a, b in pairs):
        return "no pair of layers has the same number of positions: use units=center or units=mean."
    if any(catalogue.find(m).single_position for m in metrics):
        return f"{', '.join(metrics)} {_SEVERAL}: {_ONE_EACH}."
    freedom = catalogue.find(metrics[0]).freedom
    wider = next((m.name for m in MEASURES.values() if m.freedom is freedom and not m.equal_widths), None)
    return f"{', '.join(metrics)} needs layers of equal width and no pair of layers has that: " + (
        f"use {wider}, its extension to unequal widths." if wider else "add another metric."
    )
