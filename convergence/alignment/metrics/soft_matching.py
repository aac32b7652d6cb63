"""Soft matching: optimal transport between the units of layers of any widths."""

from __future__ import annotations

from convergence.alignment.metrics.metric import Freedom, Metric

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
)
