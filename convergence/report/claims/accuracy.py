"""Claim 7: alignment goes with accuracy under shift in late layers only."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convergence.report.claims.shifted import MISSING, Places, Shifted, estimate, read
from convergence.report.evidence import Evidence, Part, directed
from convergence.report.grid import basis
from convergence.results.accuracy import LEAST_SHIFTS, differs
from convergence.results.uncertainty import Array

TEXT = "alignment goes with accuracy under shift in late layers only"
EXPLAINED = (
    "Correlation over shifts of alignment with accuracy, layer by layer (Procrustes), as Fisher's z: above 0 in the "
    'last third of the depth, and above that of the other layers; other layers clearly above 0 speak against "only". '
    "Per protocol."
)
_LAYERS = 3
_CLIP = 0.999  # correlations beyond count as this one, so that z stays finite


def evidence(table: pd.DataFrame) -> Evidence:
    """The correlation of alignment with accuracy over shifts.

    Estimands: mean over pairs and over the layers of the last third of Fisher's z of the correlation, over shifts, of a
    pair's alignment with its accuracy (both networks' mean, levels of a shift averaged; as in Fig 1E); that less the
    same mean over all other layers. Test: t over shifts (jackknife), the error over networks added where there are
    enough. Rule: both above 0 under each protocol; the other layers' own mean clearly above 0 speaks against "only".
    Shifts whose accuracies differ by no more than their binomial error give no number.
    """
    protocols = read(table)
    parts: list[Part] = []
    lacking = "" if protocols else MISSING
    for protocol, studies in protocols.items():
        reason = _lacking(studies)
        if reason:
            lacking = lacking or reason
            continue
        late = estimate(studies, lambda study, mean, places: _z(study, mean, places, study.late), each_pair=True)
        rest = estimate(studies, lambda study, mean, places: _z(study, mean, places, ~study.late), each_pair=True)
        ahead = estimate(studies, _ahead, each_pair=True)
        against = f"alignment of late layers does not go with accuracy ({protocol})"
        parts.append(directed(f"late layers (z), {protocol}", late, against))
        against = f"alignment of other layers goes with accuracy no less ({protocol})"
        parts.append(directed(f"late less other layers (z), {protocol}", ahead, against))
        against = f"alignment of other layers goes with accuracy too ({protocol})"
        parts.append(Part(f"other layers (z), {protocol}", rest, None, rest.p_value(0, 1), against))
    return Evidence(7, TEXT, tuple(parts), basis([s.grid for studies in protocols.values() for s in studies]), lacking)


def _lacking(studies: list[Shifted]) -> str:
    if len(studies[0].shifts) < LEAST_SHIFTS:
        return f"{LEAST_SHIFTS} shifts are needed for a correlation over shifts: run axis=ood with more of them"
    if any(len(study.grid.depths) < _LAYERS or study.late.all() for study in studies):
        return f"{_LAYERS} layers are needed, some of them not in the last third"
    if any(np.isnan(study.grid.accuracy).any() for study in studies):
        return "the accuracy of these networks under shift is not known"
    if not all(_spread(study) for study in studies):
        return "accuracy hardly differs between these shifts: there is nothing to correlate with"
    return ""


def _spread(study: Shifted) -> bool:
    stimuli = int((study.grid.rows.n_train + study.grid.rows.n_test).min())
    return differs(study.by_shift(study.grid.accuracy.mean(axis=0)), stimuli)


def _z(study: Shifted, mean: Array, places: Places, layers: NDArray[np.bool_]) -> float:
    values = study.by_shift(mean)[places]
    alignment, accuracy = values[:, :-1][:, layers], values[:, -1:]
    a, b = alignment - alignment.mean(axis=0), accuracy - accuracy.mean()
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum())
    r = np.divide((a * b).sum(axis=0), scale, out=np.zeros(a.shape[1]), where=scale > 0)
    return float(np.arctanh(np.clip(r, -_CLIP, _CLIP)).mean())


def _ahead(study: Shifted, mean: Array, places: Places) -> float:
    return _z(study, mean, places, study.late) - _z(study, mean, places, ~study.late)
