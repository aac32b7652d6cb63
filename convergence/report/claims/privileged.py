"""Claim 3: matching is below both other metrics and above the rotation null: a privileged basis."""

from __future__ import annotations

import pandas as pd

from convergence.alignment.metrics.catalogue import of_freedom
from convergence.alignment.metrics.metric import Freedom
from convergence.figures.style import label
from convergence.report.evidence import Evidence, Part, directed
from convergence.report.grid import basis, corresponding, grids, matching_in
from convergence.results import views as tables
from convergence.results.uncertainty import networks_or_stimuli

TEXT = "matching is below both and above the rotation null: a privileged basis"
EXPLAINED = (
    "Three gaps of mean scores of corresponding layers, all above 0: linear less matching, Procrustes less matching, "
    "and matching less the upper quantile (95 % by default) of its rotation null, layer by layer."
)
_KEYS = [
    *("run", "condition", "source_model", "target_model", "source_weights", "target_weights"),
    *("source_step", "target_step", "source_layer", "target_layer", "metric", "direction"),
]


def evidence(table: pd.DataFrame) -> Evidence:
    """Three gaps.

    Estimand: mean over corresponding layers of linear - matching, of Procrustes - matching, and of matching - τ, where
    τ is the upper quantile (95 % by default) of the layer's own rotation null. Test: t over networks, else over
    stimuli, τ as given. Under the null a score exceeds τ one time in twenty and the mean excess is negative, so the
    test of the excess is conservative. Rule: all three above 0; any below 0 speaks against the claim. Without null rows
    the third is missing.
    """
    rows = corresponding(table)
    matching = matching_in(rows)
    if matching is None:
        return Evidence(3, TEXT, missing="no rows of a matching metric: run axis=depth metric=all null=rotation")
    name, parts, used = label(matching), [], []
    for metric in (of_freedom(rows.metric, freedom) for freedom in (Freedom.linear, Freedom.rotation)):
        if metric is None:
            continue
        found = grids(rows[rows.metric.isin([metric, matching])], "metric", [metric, matching])
        if found:
            gap = networks_or_stimuli([g.sample(g.scores.mean(axis=-1)) for g in found], lambda mean: mean[0] - mean[1])
            other = label(metric)
            parts.append(directed(f"{other} less {name}", gap, f"{name} is above {other}"))
            used += found
    lacking = "" if len(parts) == 2 else "linear and Procrustes are not both there: run metric=all"
    excess = _excess(table, rows[rows.metric == matching], name)
    if excess is None:
        lacking = lacking or "no rows of the rotation null: run with null=rotation"
    else:
        parts.append(excess)
    kept = basis(used)
    kept = kept[~kept.index.duplicated()] if kept is not None else None
    return Evidence(3, TEXT, tuple(parts), kept, lacking)


def _excess(table: pd.DataFrame, rows: pd.DataFrame, name: str) -> Part | None:
    null = tables.networks(tables.chance(table[table.null == "rotation"]))
    joined = rows.drop(columns="null_quantile").merge(null[[*_KEYS, "null_quantile"]].drop_duplicates(_KEYS), on=_KEYS)
    found = grids(joined.assign(score=joined.score - joined.null_quantile))
    if not found:
        return None
    excess = networks_or_stimuli([grid.sample(grid.scores.mean(axis=-1)) for grid in found], lambda mean: mean)
    return directed(f"{name} less rotation null", excess, f"{name} is within what a rotated basis reaches by chance")
