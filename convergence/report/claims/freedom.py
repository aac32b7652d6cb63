"""Claim 2: Procrustes reaches nearly what linear reaches."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convergence.alignment.metrics.catalogue import of_freedom
from convergence.alignment.metrics.metric import Freedom
from convergence.report.evidence import Evidence, directed
from convergence.report.grid import basis, corresponding, grids
from convergence.results.uncertainty import networks_or_stimuli

TEXT = "Procrustes reaches nearly what linear reaches"
EXPLAINED = "Ratio of the mean score of corresponding layers under Procrustes to that under linear; nearly: above 0.9."
NEARLY = 0.9


def evidence(table: pd.DataFrame) -> Evidence:
    """The ratio of Procrustes to linear.

    Estimand: the mean score of corresponding layers under Procrustes over that under linear (a ratio of means: a mean
    of ratios would hang on layers where linear is near 0). Test: t over networks, else over stimuli. Rule: above 0.9;
    below it speaks against the claim. No verdict where linear itself is not above 0.
    """
    rows = corresponding(table)
    both = [of_freedom(rows.metric, freedom) for freedom in (Freedom.rotation, Freedom.linear)]
    found = grids(rows[rows.metric.isin(both)], "metric", both) if None not in both else []  # type: ignore[arg-type]
    if not found:
        return Evidence(2, TEXT, missing="no rows of both metrics: run axis=depth metric=all")
    samples = [grid.sample(grid.scores.mean(axis=-1)) for grid in found]
    linear = networks_or_stimuli(samples, lambda mean: mean[1])
    ratio = networks_or_stimuli(samples, lambda mean: mean[0] / mean[1])
    against = f"Procrustes reaches less than {NEARLY} of linear"
    if not np.isnan(linear.error) and linear.p_value(0.0, 1) > 0.05:
        return Evidence(2, TEXT, (), basis(found), "linear itself is not above 0: there is nothing to reach")
    note = "Above 1, linear overfits: there are few stimuli for its freedom." if ratio.value > 1 else ""
    return Evidence(2, TEXT, (directed("ratio", ratio, against, threshold=NEARLY),), basis(found), note=note)
