"""Intervals over independently trained networks: seeds are resampled, never pairs.

Pairs that share a network are not independent, so an interval over pairs would be too narrow. A resample draws each
group's networks with replacement; a pair then counts as often as its two networks were drawn together, and a network
is never paired with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

_EXACT = 5  # networks of a group up to which all of its n^n resamples are listed
_DRAWS = 2000
_LEVEL = 0.95


def draws(groups: Sequence[int]) -> NDArray[np.int64] | None:
    """How often each network is drawn, (resamples, networks); None where the groups are too small to tell anything.

    Parameters
    ----------
    groups : number of networks in each group: one (pairs within it) or two (pairs between them).
    """
    if sum(groups) < 3:
        return None
    rng = np.random.Generator(np.random.Philox(0))
    parts = []
    for n in groups:
        if n <= _EXACT and len(groups) == 1:
            chosen = np.array(list(product(range(n), repeat=n)))
        else:
            chosen = rng.integers(0, n, (_DRAWS, n))
        parts.append((chosen[:, :, None] == np.arange(n)).sum(axis=1))
    return np.concatenate(parts, axis=1)


def pair_weights(counts: NDArray[np.int64], pairs: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Weight of each pair in each resample, (resamples, pairs), rows sum to one; NaN where a resample has no pair."""
    weights = np.stack([counts[:, a] * counts[:, b] for a, b in pairs], axis=1).astype(float)
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.full_like(weights, np.nan), where=total > 0)


def interval(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high end of the 95 % percentile interval along the first axis, without the NaN."""
    tail = 100 * (1 - _LEVEL) / 2
    kept = values[~np.isnan(values).reshape(len(values), -1).all(axis=1)]
    if not len(kept):
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing
    low, high = np.nanpercentile(kept, [tail, 100 - tail], axis=0)
    return low, high
