"""Claim 4: a layer's best match is the corresponding layer, under each metric, across architectures too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convergence.figures.style import label
from convergence.report.evidence import Evidence, Part
from convergence.report.grid import metrics_in, trained
from convergence.results.numbers import number
from convergence.results.uncertainty import Array, Estimate, Network, Sample, over_networks, telling

TEXT = "a layer's best match is the corresponding layer"
EXPLAINED = (
    "Share of layers whose best source lies within one position of the corresponding layer (of the nearest relative "
    "depth across architectures). p: the same share when the source layers change places, all pairs alike. Above one "
    "half."
)
_LISTED = 40_320  # permutations up to which all are listed: eight layers
_DRAWS = 20_000
_WITHIN = 1
_LAYERS = 4
_HALF = 0.5


@dataclass(frozen=True)
class Matches:
    """Best sources in one study: for each pair of networks, how often target j's best source is i.

    Attributes
    ----------
    source : the source architecture, with its layers.
    pairs : both networks of each pair.
    best : (pairs, sources, targets), one per column, shared among ties.
    hits : (sources, targets), whether the source lies within one position of the layer that corresponds to the target.
    """

    source: tuple[str, ...]
    pairs: tuple[tuple[Network, Network], ...]
    best: Array
    hits: NDArray[np.bool_]

    @property
    def shares(self) -> Array:
        """(pairs,)"""
        return np.asarray((self.best * self.hits).sum(axis=(1, 2)) / self.hits.shape[1])

    @property
    def gain(self) -> Array:
        """(sources, places): the share that source i brings when it stands at a place."""
        return self.best.mean(axis=0) @ self.hits.T / self.hits.shape[1]


def evidence(table: pd.DataFrame) -> Evidence:
    """The share of layers whose best match is at most one position off.

    Estimand: over target layers, directions and pairs of networks, the share whose best source layer (highest score)
    lies within one position of the corresponding one. Null: which source layer stands where carries no information, so
    the layers of a source architecture change places, the same way in all its pairs and towards all targets, since
    layers, not pairs, are what is exchanged. Exact up to eight layers, else 20,000 draws with (1 + #)/(1 + draws).
    Rule: p, and the share above one half (t over networks where there are three that differ); a share below one half,
    or a low share under the null, speaks against the claim. Within and across architectures are parts of their own.
    """
    rows = trained(table, "depth")
    parts: list[Part] = []
    used: list[pd.Series] = []
    for within, place in ((True, "within an architecture"), (False, "across architectures")):
        kind = rows[(rows.source_model == rows.target_model) == within]
        for metric in metrics_in(kind):
            studies, chosen = best_matches(kind[kind.metric == metric])
            if studies:
                parts.append(_part(studies, f"{label(metric)}, {place}"))
                used.append(chosen)
    if not parts:
        text = f"no rows of all layers with all layers, {_LAYERS} or more: run axis=depth axis.pairs=all"
        return Evidence(4, TEXT, missing=text)
    note = ""
    if not any("across" in part.what for part in parts):
        note = "Within one architecture only; across: run model@against=…"
    return Evidence(4, TEXT, tuple(parts), rows.loc[sorted({i for chosen in used for i in chosen})], note=note)


def best_matches(rows: pd.DataFrame) -> tuple[list[Matches], pd.Index]:
    """The studies that have all layers of both models, and their rows."""
    made, indices = [], []
    for _, part in rows.groupby(["run", "source_model", "target_model"], sort=False, dropna=False):
        study = _study(part)
        if study is not None:
            made.append(study)
            indices.append(part.index)
    chosen = telling([Sample(study.pairs, study.shares[:, None]) for study in made])
    keep = [i for i, study in enumerate(made) if any(study.pairs is sample.pairs for sample in chosen)]
    return [made[i] for i in keep], pd.Index([n for i in keep for n in indices[i]])


def _study(rows: pd.DataFrame) -> Matches | None:
    sources = rows.drop_duplicates("source_layer").set_index("source_layer").source_depth.sort_values(kind="stable")
    targets = rows.drop_duplicates("target_layer").set_index("target_layer").target_depth.sort_values(kind="stable")
    if min(len(sources), len(targets)) < _LAYERS:
        return None
    cells = rows.groupby(["source_weights", "target_weights", "source_layer", "target_layer"]).score.mean()
    pairs, best = [], []
    for (a, b), part in cells.groupby(level=[0, 1]):
        scores = part.droplevel([0, 1]).unstack().reindex(index=sources.index, columns=targets.index).to_numpy()
        if np.isnan(scores).any():
            return None
        top = scores == scores.max(axis=0)
        best.append(top / top.sum(axis=0))
        pairs.append(((rows.source_model.iloc[0], a), (rows.target_model.iloc[0], b)))
    place = np.abs(sources.to_numpy()[:, None] - targets.to_numpy()).argmin(axis=0)
    hits = np.abs(np.arange(len(sources))[:, None] - place) <= _WITHIN
    return Matches((rows.source_model.iloc[0], *sources.index), tuple(pairs), np.array(best), hits)


def _part(studies: list[Matches], what: str) -> Part:
    share = over_networks([Sample(s.pairs, s.shares[:, None]) for s in studies], lambda mean: mean)
    upper, lower, chance = null(studies)
    p, against = upper if share.value > _HALF else 1.0, lower if share.value <= _HALF else 1.0
    if not np.isnan(share.error):
        p, against = max(p, share.p_value(_HALF, 1)), min(1.0, 2 * min(lower, share.p_value(_HALF, -1)))
    # Where all networks agree there is no interval, not one of width 0.
    share = Estimate(share.value) if share.error == 0 else replace(share, bounds=(0.0, 1.0))
    return Part(
        f"share, {what}",
        share,
        p,
        against,
        f"most layers' best match is elsewhere ({what}; by chance {number(chance)})",
    )


def null(studies: list[Matches]) -> tuple[float, float, float]:
    """p of a share as high, p of one as low, and the mean share, when the layers of each source change places."""
    gains: dict[tuple[str, ...], Array] = {}
    for study in studies:
        gains[study.source] = gains.get(study.source, 0) + study.gain / len(studies)
    observed = sum(float(np.trace(gain)) for gain in gains.values())
    exact = len(gains) == 1 and np.prod(np.arange(1, len(next(iter(gains.values()))) + 1, dtype=float)) <= _LISTED
    rng = np.random.Generator(np.random.Philox(0))
    draws = np.sum([_permuted(gain, None if exact else rng) for gain in gains.values()], axis=0)
    itself = 0 if exact else 1  # a list of all permutations has the observed order in it
    high, low = ((draws >= observed - 1e-9).sum(), (draws <= observed + 1e-9).sum())
    count = len(draws) + itself
    return float((high + itself) / count), float((low + itself) / count), float(draws.mean())


def _permuted(gain: Array, rng: np.random.Generator | None) -> Array:
    """The share that a source architecture brings under all permutations of its layers, or under drawn ones."""
    n = len(gain)
    if rng is None:
        orders = np.array(list(permutations(range(n))))
    else:
        orders = rng.permuted(np.tile(np.arange(n), (_DRAWS, 1)), axis=1)
    return np.asarray(gain[np.arange(n), orders].sum(axis=1))
