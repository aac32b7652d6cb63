"""PWCCA: held-out canonical correlations, weighted by how much of the target each variate accounts for."""

from __future__ import annotations

from convergence.alignment.metrics.metric import Metric

METRIC = Metric(
    name="pwcca",
    label="PWCCA",
    about="canonical correlation by its share of the target",
    place=6,
    look=("#882255", "d", ":"),
    ignores=("order of units", "scale", "rotation", "invertible map", "offset of each unit"),
)
