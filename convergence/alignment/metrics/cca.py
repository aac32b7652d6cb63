"""CCA: the mean held-out canonical correlation."""

from __future__ import annotations

from convergence.alignment.metrics.metric import Metric

METRIC = Metric(
    name="cca",
    label="CCA",
    about="mean canonical correlation",
    place=5,
    look=("#CC79A7", "D", "--"),
    ignores=("order of units", "scale", "rotation", "invertible map", "offset of each unit"),
    symmetric=True,
)
