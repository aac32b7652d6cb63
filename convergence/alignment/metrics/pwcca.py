"""PWCCA: held-out canonical correlations, weighted by how much of the target each variate accounts for."""

from __future__ import annotations

from convergence.alignment.metrics import canonical
from convergence.alignment.metrics.canonical import Variates
from convergence.alignment.metrics.metric import HeldOut, Metric, Training
from convergence.alignment.metrics.scores import Scores


def fit(training: Training) -> Variates:
    """Canonical variates of both layers."""
    return canonical.with_shares(training)


def score(variates: Variates, held_out: HeldOut) -> Scores:
    """The mean of the held-out correlations, each weighted by its variate's share of the target."""
    shares = variates.target.shares
    assert shares is not None
    r = canonical.correlations(variates, held_out)
    return Scores((shares * r).sum(dim=-1) / shares.sum(dim=-1))


METRIC = Metric(
    name="pwcca",
    label="PWCCA",
    about="canonical correlation by its share of the target",
    place=6,
    look=("#882255", "d", ":"),
    ignores=("order of units", "scale", "rotation", "invertible map", "offset of each unit"),
    spectral=True,
    fit=fit,
    reverse=canonical.reverse,
    score=score,
)
