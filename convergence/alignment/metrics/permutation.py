"""Permutation: one unit to one unit, by the assignment with the greatest sum of training correlations."""

from __future__ import annotations

from convergence.alignment.metrics import matching
from convergence.alignment.metrics.matching import Matching
from convergence.alignment.metrics.metric import Freedom, Metric, Training


def fit(training: Training) -> Matching:
    """Plans on the training correlations."""
    return training.once(matching.assigned)


METRIC = Metric(
    name="permutation",
    label="permutation",
    about="one unit to one unit, at equal widths",
    place=2,
    look=("#332288", "x", ":"),
    paper=True,
    freedom=Freedom.matching,
    ignores=("order of units", "scale", "offset of each unit"),
    equal_widths=True,
    basis_bound=True,
    by_unit=True,
    fit=fit,
    reverse=matching.reverse,
    score=matching.score,
)
