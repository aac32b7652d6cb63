"""Partial soft matching (Kapoor, Williams & Khosla 2026, arXiv 2602.19331): the poorest matches may stay away.

The plan T minimises Σ T_ij (1 - r_ij) on the training correlations, among those that carry a mass of 0.8, with row
sums up to 1/N_x and column sums up to 1/N_y; so the fifth of either layer that has no counterpart is left unmatched.
Where the plan is scored, Σ T_ij r_ij is divided by the mass transported; otherwise less mass alone would change the
score. The paper picks the mass by the bend of a curve; here it is one for all pairs, so that scores compare.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from convergence.alignment.metrics import matching, scores
from convergence.alignment.metrics.matching import ROUNDED, Matching, Plan
from convergence.alignment.metrics.metric import HeldOut, Metric, Training

MASS = 0.8
_NOTHING = 1e-12  # mass that the solver leaves behind by rounding


def transport(correlation: NDArray[np.float64], mass: float = MASS) -> Plan:
    """The best plan that carries ``mass`` between (N_x, N_y) units, its masses scaled to sum to one."""
    if not correlation.size:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, np.zeros(0)
    import ot.partial  # needed only here

    uniform = [np.full(n, 1 / n) for n in correlation.shape]
    mass = min(mass, *(float(side.sum()) for side in uniform))  # which all their mass may miss by a rounding
    plan = ot.partial.partial_wasserstein(*uniform, 1 - correlation.round(ROUNDED), m=mass, numItermax=10_000_000)
    rows, columns = np.nonzero(plan > _NOTHING)
    masses = plan[rows, columns]
    return rows, columns, masses / masses.sum()


def fit(training: Training) -> Matching:
    """Plans on the training correlations."""
    return matching.solved(training, transport, one_to_one=False)


def score(plan: Matching, held_out: HeldOut) -> scores.Scores:
    """All three scores of plans on held-out statistics; units that they do not reach are out of the mean."""
    weights = plan.weights
    found = scores.over_reached(scores.dense(weights, held_out), weights, held_out.target)
    return replace(found, transport=scores.transported(plan.rows, plan.columns, plan.masses, held_out))


METRIC = Metric(
    name="partial_soft_matching",
    label="partial matching",
    about="transport of the best-matched part of the units",
    place=4,
    look=("#56B4E9", "v", "-"),
    ignores=("order of units", "scale", "offset of each unit"),
    basis_bound=True,
    by_unit=True,
    fit=fit,
    reverse=matching.reverse,
    score=score,
)
