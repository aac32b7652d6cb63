"""Matching of single units: permutation, and soft matching between unequal widths.

Both minimise the cost 1 - r on the training correlation matrix: `permutation` over one-to-one assignments,
`soft_matching` over transport plans with uniform marginals (Khosla & Williams 2024, arXiv 2311.09466, eq. 3).
At equal widths a vertex of the transport polytope is a permutation, and the two are the same. Exact, never entropic.
"""

from __future__ import annotations

from math import lcm

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Plan = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]  # rows, columns, masses that sum to one

# Rounded to this many decimals, correlations of duplicated units tie exactly, so that the order in which the data
# were summed does not choose between them.
ROUNDED = 10


def assignment(correlation: NDArray[np.float64]) -> Plan:
    """One-to-one matching of the units of (N_x, N_y); the surplus of the wider side stays unmatched."""
    rows, columns = linear_sum_assignment(correlation.round(ROUNDED), maximize=True)
    return rows, columns, np.full(len(rows), 1 / max(len(rows), 1))


def transport(correlation: NDArray[np.float64]) -> Plan:
    """Optimal transport plan between uniform marginals 1/N_x and 1/N_y."""
    n_x, n_y = correlation.shape
    if n_x == n_y or not correlation.size:
        return assignment(correlation)
    if n_x < n_y:  # the solver is up to four times faster with the repeated units as columns
        rows, columns, masses = transport(correlation.T)
        return columns, rows, masses
    common = lcm(n_x, n_y)
    if common <= 2 * max(n_x, n_y):
        # Split each unit into common/N equal parts: the plan is an assignment of the parts, to the last digit.
        parts = np.repeat(np.repeat(correlation, common // n_x, axis=0), common // n_y, axis=1)
        rows, columns, masses = assignment(parts)
        rows, columns = rows // (common // n_x), columns // (common // n_y)
        return rows, columns, masses
    import ot  # needed only where a plan is not an assignment

    uniform = [np.full(n, 1 / n) for n in correlation.shape]
    plan = ot.emd(*uniform, 1 - correlation.round(ROUNDED), numItermax=10_000_000)
    rows, columns = np.nonzero(plan)
    return rows, columns, plan[rows, columns]
