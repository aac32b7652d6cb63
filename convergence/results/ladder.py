"""The ladder of maps: what does each freedom buy? Matching of single units, then rotations, then any linear map.

A step is the gain in score from one rung to the next, of corresponding layers, on the same folds and networks. Both
directions are averaged first. Its interval is over networks where leaving one out still leaves a pair, else over
stimuli, with these very networks (see :mod:`convergence.results.uncertainty`); `over` says which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from convergence.alignment.metrics.catalogue import of_freedom
from convergence.alignment.metrics.metric import Freedom
from convergence.results import views as tables
from convergence.results.sides import x_and_y
from convergence.results.uncertainty import Estimate, Network, Sample, networks_or_stimuli


@dataclass(frozen=True)
class Step:
    """One step of one layer.

    Attributes
    ----------
    study : data set and architectures.
    layer, depth : its name (where the two networks' differ both, as ``a × b``) and relative depth.
    named_alike : whether they do not differ.
    lower, upper : metrics of the two rungs.
    below, gain : mean score of the lower rung, and what the upper one adds.
    """

    study: str
    layer: str
    depth: float
    named_alike: bool
    lower: str
    upper: str
    below: float
    gain: Estimate


def rungs(metrics: Iterable[str]) -> list[str]:
    """Matching, Procrustes, linear; empty where one of them was not scored."""
    there = list(metrics)
    found = [of_freedom(there, freedom) for freedom in sorted(Freedom)]
    return [metric for metric in found if metric is not None] if None not in found else []


def ladder(table: pd.DataFrame) -> list[Step]:
    """Steps of every study and layer, from the first layer to the last; none without all three rungs."""
    order = rungs(table.metric)
    if not order:
        return []
    rows = tables.corresponding(tables.networks(table))
    rows = rows[rows.metric.isin(order)]
    x, y = x_and_y(rows, "model")
    rows = rows.assign(
        study=rows.dataset.fillna("") + ", " + x.where(x == y, x + " × " + y),
        pair=tables.pair(rows),
        layer=tables.layer_names(rows),
        depth=rows[["source_depth", "target_depth"]].mean(axis=1).round(6),
    )
    steps = []
    for (study, _, layer), part in rows.groupby(["study", "depth", "layer"]):
        means = part.groupby(["metric", "pair", "fold"]).score.mean().unstack("fold")
        for lower, upper in pairwise(order):
            gains = means.loc[upper] - means.loc[lower]
            sample = Sample(tuple(_ends(part, str(pair)) for pair in gains.index), gains.to_numpy())
            gain = networks_or_stimuli([sample], lambda value: value)
            below = float(means.loc[lower].to_numpy().mean())
            place = (str(study), str(layer), float(part.depth.iloc[0]), tables.named_alike(part))
            steps.append(Step(*place, lower, upper, below, gain))
    return steps


def _ends(rows: pd.DataFrame, pair: str) -> tuple[Network, Network]:
    row = rows[rows.pair == pair].iloc[0]
    return (row.source_model, row.source_weights), (row.target_model, row.target_weights)


def as_table(steps: Iterable[Step], state: str) -> pd.DataFrame:
    """One row per step; ``state`` is trained or untrained."""
    rows = []
    for step in steps:
        low, high = step.gain.interval
        row = {"study": step.study, "state": state, "layer": step.layer, "depth": step.depth, "lower": step.lower}
        row |= {"upper": step.upper, "score_lower": step.below, "gain": step.gain.value}
        rows.append(row | {"gain_low": low, "gain_high": high, "interval_over": step.gain.over})
    return pd.DataFrame(rows)
