"""Orthogonal Procrustes: a rotation or reflection, a partial isometry between unequal widths.

The map is the polar factor U Vᵀ of the training cross scatter U S Vᵀ (Schönemann 1966), on its numerical range:
directions without evidence (fewer stimuli than units) predict nothing. Transposed, it is the reverse direction's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from convergence.alignment.metrics import polar, scores
from convergence.alignment.metrics.metric import Freedom, HeldOut, Metric, Training


@dataclass(frozen=True)
class Isometry:
    """Partial isometries (…, N_x, N_y), and where they are doubtful (…,)."""

    weights: Tensor
    doubtful: Tensor | None = None

    @property
    def penalty(self) -> None:
        """None: nothing is penalised."""


def fit(training: Training) -> Isometry:
    """The partial isometry that maximises <XW, Y>."""
    if polar.by_products(training.cross) and training.careful is None:
        return Isometry(*polar.iterated(training.cross))
    x, y = training.source, training.target
    # What rounding of either layer adds to the cross scatter, at most.
    noise = (x.rounding * y.variance.sum(-1, keepdim=True)).sqrt() + (
        y.rounding * x.variance.sum(-1, keepdim=True)
    ).sqrt()
    return Isometry(polar.exact(training.cross, noise.squeeze(-1), training.careful))


def reverse(isometry: Isometry) -> Isometry:
    """The transpose."""
    return Isometry(isometry.weights.mT, isometry.doubtful)


def score(isometry: Isometry, held_out: HeldOut) -> scores.Scores:
    """Its scores on held-out statistics."""
    return replace(scores.dense(isometry.weights, held_out), doubtful=isometry.doubtful)


METRIC = Metric(
    name="procrustes",
    label="Procrustes",
    about="rotations and reflections: orthogonal Procrustes",
    place=1,
    look=("#009E73", "s", "--"),
    paper=True,
    freedom=Freedom.rotation,
    ignores=("order of units", "scale", "rotation", "offset of each unit"),
    gram=True,
    fit=fit,
    reverse=reverse,
    score=score,
)
