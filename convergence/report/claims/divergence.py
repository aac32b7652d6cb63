"""Claim 6: early layers hold under shift, later ones diverge, more so for stronger shifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from convergence.report.claims.freedom import NEARLY
from convergence.report.claims.shifted import MISSING, Places, Shifted, estimate, read
from convergence.report.evidence import Evidence, Part, directed
from convergence.report.grid import basis
from convergence.results.uncertainty import Array

TEXT = "early layers hold under shift, later ones diverge, more so for stronger shifts"
EXPLAINED = (
    "Gap: score within distribution less score under shift, Procrustes, per shift. Parts: the first third keeps more "
    "than 0.9 of its score; the last third's gap exceeds the first's (by 0.02 or more); the gap's Spearman "
    "correlation with depth, and with the level of shifts that have ordered ones, is above 0. Per protocol."
)
_LEAST = 0.02
_LAYERS = 3
_SHIFTS = 3
_RANKS = (-1.0, 1.0)  # what Spearman's correlation can be


def evidence(table: pd.DataFrame) -> Evidence:
    """What layers keep under shift.

    Estimands, each the mean over shifts, levels of a shift averaged: the share of its score that the first third of the
    depth keeps; the gap of the last third less that of the first; Spearman's correlation of the gap with depth; and,
    over shifts with three ordered levels or more, of the last third's gap with the level. WD and shift are the same
    stimuli and networks, so each shift is a paired observation. Test: t over shifts, the error over networks added
    where there are enough of them. Rule: share above 0.9, the others above 0, under each protocol that there is.
    """
    protocols = read(table)
    parts: list[Part] = []
    lacking = ""
    for protocol, studies in protocols.items():
        deep = [study for study in studies if len(study.grid.depths) >= _LAYERS]
        if not deep or len(studies[0].shifts) < _SHIFTS:
            lacking = f"{_LAYERS} layers and {_SHIFTS} shifts are needed: run axis=ood with more of them"
            continue
        found, reason = _parts(deep, protocol)
        parts += found
        lacking = lacking or reason
    used = basis([study.grid for studies in protocols.values() for study in studies])
    return Evidence(6, TEXT, tuple(parts), used, lacking if protocols else MISSING)


def _parts(studies: list[Shifted], protocol: str) -> tuple[list[Part], str]:
    parts = [
        directed(
            f"share kept early, {protocol}",
            estimate(studies, _kept),
            f"early layers keep less than {NEARLY} of their score ({protocol})",
            threshold=NEARLY,
        ),
        directed(
            f"gap late less early, {protocol}",
            estimate(studies, _widening),
            f"late layers do not lose {_LEAST} more than early ones ({protocol})",
            least=_LEAST,
        ),
        directed(
            f"gap with depth (Spearman), {protocol}",
            replace(estimate(studies, _with_depth), bounds=_RANKS),
            f"the gap does not grow with depth ({protocol})",
        ),
    ]
    graded = [i for i, name in enumerate(studies[0].shifts) if studies[0].ordered(name)]
    if len(graded) < _SHIFTS:
        return parts, f"{_SHIFTS} shifts with three ordered levels are needed to speak of stronger shifts"
    severity = replace(estimate(studies, _with_level), bounds=_RANKS)
    against = f"stronger shifts do not widen the gap of late layers ({protocol})"
    return [*parts, directed(f"late gap with level (Spearman), {protocol}", severity, against)], ""


def _gaps(study: Shifted, mean: Array) -> Array:
    """(shifts, layers)."""
    return mean[0, :-1] - study.by_shift(mean[:, :-1])


def _kept(study: Shifted, mean: Array, places: Places) -> float:
    under = study.by_shift(mean[:, :-1])[places][:, study.early].mean(axis=1)
    return float((under / mean[0, :-1][study.early].mean()).mean())


def _widening(study: Shifted, mean: Array, places: Places) -> float:
    gaps = _gaps(study, mean)[places]
    return float((gaps[:, study.late].mean(axis=1) - gaps[:, study.early].mean(axis=1)).mean())


def _with_depth(study: Shifted, mean: Array, places: Places) -> float:
    return float(np.mean([_rank_correlation(gap, study.grid.depths) for gap in _gaps(study, mean)[places]]))


def _with_level(study: Shifted, mean: Array, places: Places) -> float:
    late = mean[0, :-1][study.late].mean() - mean[:, :-1][:, study.late].mean(axis=1)
    cells = [cells for i in places if (cells := study.ordered(study.shifts[i]))]
    return float(np.mean([_rank_correlation(late[c], np.arange(len(c))) for c in cells]))


def _rank_correlation(values: Array, order: ArrayLike) -> float:
    from scipy.stats import spearmanr  # half a second that every other claim does without

    return 0.0 if np.ptp(values) == 0 else float(spearmanr(values, order).statistic)
