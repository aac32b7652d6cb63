"""Alignment with task accuracy over shifts, layer by layer (Fig 1E)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from convergence.results.divergence import SIGNIFICANT, Array, Divergence, over_shifts

LEAST_SHIFTS = 5  # points below which a correlation tells nothing


@dataclass(frozen=True)
class Correlation:
    """Alignment with accuracy over shifts, (layers,) each; NaN throughout where there is no number, with the reason.

    ``low`` and ``high`` are the ends of a 95 % interval of Pearson's r over shifts, found on Fisher's z; ``points`` is
    the number of shifts, ``pairs`` of pairs of networks that the correlations are pooled over.
    """

    pearson: Array
    spearman: Array
    low: Array
    high: Array
    points: int
    pairs: int
    reason: str = ""


def correlation(found: Divergence) -> Correlation:
    """Within each pair of networks over the shifts, then pooled: the mean of Fisher's z over pairs, turned back.

    No number is given for fewer than five shifts, or where accuracy differs between shifts by no more than its
    binomial error does (chi-squared at 5 %): at chance under every shift, above all.
    """
    points, pairs = len(found.shifts), len(found.accuracy)
    reason = _why_no_correlation(found)
    if reason:
        nothing = np.full(len(found.layers), np.nan)
        return Correlation(nothing, nothing, nothing, nothing, points, pairs, reason)
    whole = np.full((1, points), 1 / points)
    from scipy.stats import rankdata  # half a second that a run without accuracies does not pay

    ranks = (rankdata(found.by_pair, axis=1), rankdata(found.accuracy, axis=1))
    z = _pooled(found.by_pair, found.accuracy, whole)[0]
    low, high = over_shifts(z, lambda weights: _pooled(found.by_pair, found.accuracy, weights), points)
    return Correlation(
        pearson=np.tanh(z),
        spearman=np.tanh(_pooled(*ranks, whole)[0]),
        low=np.tanh(low),
        high=np.tanh(high),
        points=points,
        pairs=pairs,
    )


def _why_no_correlation(found: Divergence) -> str:
    if len(found.shifts) < LEAST_SHIFTS:
        return f"{len(found.shifts)} shifts are too few"
    if np.isnan(found.accuracy).any():
        return "accuracy is not known"
    if not differs(found.accuracy.mean(axis=0), found.stimuli):
        return "accuracy is the same under all shifts, to within its error"
    return ""


def differs(accuracy: Array, stimuli: int) -> bool:
    """Whether accuracies (shifts,) differ by more than their binomial error (chi-squared at 5 %)."""
    middle = accuracy.mean()
    error = middle * (1 - middle) / stimuli
    if error == 0:
        return False
    return bool(((accuracy - middle) ** 2).sum() / error >= chdtri(len(accuracy) - 1, SIGNIFICANT))


def _pooled(alignment: Array, accuracy: Array, weights: Array) -> Array:
    """(draws, layers): Fisher's z of weighted Pearson r over shifts in each pair, the mean over pairs.

    alignment is (pairs, shifts, layers), accuracy (pairs, shifts), weights (draws, shifts). NaN without any spread.
    """
    z = np.zeros((len(weights), alignment.shape[2]))
    for scores, right in zip(alignment, accuracy, strict=True):
        mean_x, mean_y = weights @ scores, weights @ right
        covariance = (weights * right) @ scores - mean_x * mean_y[:, None]
        spread_x = weights @ scores**2 - mean_x**2
        spread_y = weights @ right**2 - mean_y**2
        with np.errstate(divide="ignore", invalid="ignore"):
            r = covariance / np.sqrt(spread_x * spread_y[:, None])
        r = np.where((spread_x > 1e-12) & (spread_y[:, None] > 1e-12), r, np.nan)
        z += np.arctanh(np.clip(r, -0.999999, 0.999999))
    return z / len(alignment)
