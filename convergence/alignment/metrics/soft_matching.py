"""Soft matching: optimal transport between the units of layers of any widths."""

from __future__ import annotations

from convergence.alignment.metrics import matching
from convergence.alignment.metrics.matching import Matching
from convergence.alignment.metrics.metric import Freedom, Metric, Training


def fit(training: Training) -> Matching:
    """Plans on the training correlations."""
    return training.once(matching.transported)


METRIC = Metric(
    name="soft_matching",
    label="soft matching",
    about="optimal transport between units",
    place=3,
    look=("#0072B2", "^", "-."),
    paper=True,
    freedom=Freedom.matching,
    ignores=("order of units", "scale", "offset of each unit"),
    basis_bound=True,
    by_unit=True,
    fit=fit,
    reverse=matching.reverse,
    score=matching.score,
)
