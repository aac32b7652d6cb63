"""CCA: the mean held-out canonical correlation."""

from __future__ import annotations

from convergence.alignment.metrics import canonical
from convergence.alignment.metrics.canonical import Variates
from convergence.alignment.metrics.metric import HeldOut, Metric, Training
from convergence.alignment.metrics.scores import Scores


def fit(training: Training) -> Variates:
    """Canonical variates of both layers."""
    return training.once(canonical.fit)


def score(variates: Variates, held_out: HeldOut) -> Scores:
    """The mean of the held-out correlations."""
    r = canonical.correlations(variates, held_out)
    return Scores((r * variates.there).sum(dim=-1) / variates.there.sum(dim=-1))


METRIC = Metric(
    name="cca",
    label="CCA",
    about="mean canonical correlation",
    place=5,
    look=("#CC79A7", "D", "--"),
    ignores=("order of units", "scale", "rotation", "invertible map", "offset of each unit"),
    symmetric=True,
    spectral=True,
    fit=fit,
    reverse=canonical.reverse,
    score=score,
)
