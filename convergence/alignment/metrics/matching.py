"""Matching of single units: permutation, and soft matching between unequal widths.

Both minimise the cost 1 - r on the training correlation matrix: permutation over one-to-one assignments,
soft matching over transport plans with uniform marginals (Khosla & Williams 2024, arXiv 2311.09466, eq. 3).
At equal widths a vertex of the transport polytope is a permutation, and the two are the same. Exact, never entropic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import lcm
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence.alignment.metrics import scores
from convergence.alignment.metrics.metric import HeldOut, Training

Plan = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]  # rows, columns, masses that sum to one

# Rounded to this many decimals, correlations of duplicated units tie exactly, so that the order in which the data
# were summed does not choose between them.
ROUNDED = 10
_COPIES = 4  # up to so many equal parts of each unit, their assignment is solved sooner than the transport
_FEW = 8  # units: against fewer, so many edges meet in one that a matrix product is faster


def assignment(correlation: NDArray[np.float64]) -> Plan:
    """One-to-one matching of the units of (N_x, N_y); the surplus of the wider side stays unmatched."""
    from scipy.optimize import linear_sum_assignment  # slow to load: lists and helps read this file's facts alone

    cost = -correlation.round(ROUNDED)
    # The solver is a third faster where it begins with what each unit costs at least, if all of its side are matched.
    for axis, (own, others) in enumerate((cost.shape, cost.shape[::-1])):
        if 0 < own <= others:
            cost -= cost.min(axis=1 - axis, keepdims=True)
    rows, columns = linear_sum_assignment(cost)
    return rows, columns, np.full(len(rows), 1 / max(len(rows), 1))


def transport(correlation: NDArray[np.float64]) -> Plan:
    """Optimal transport plan between uniform marginals 1/N_x and 1/N_y."""
    n_x, n_y = correlation.shape
    if n_x == n_y or not correlation.size:
        return assignment(correlation)
    few, many = min(n_x, n_y), max(n_x, n_y)
    if many % few == 0 and many <= _COPIES * few:
        parts = correlation.repeat(many // n_x, axis=0).repeat(many // n_y, axis=1)
        rows, columns, masses = assignment(parts)
        return rows // (many // n_x), columns // (many // n_y), masses
    import ot  # needed only where a plan is not an assignment

    common = lcm(n_x, n_y)  # in its parts all masses are whole numbers, which the solver adds without rounding
    uniform = [np.full(n, common / n) for n in correlation.shape]
    plan = ot.emd(*uniform, 1 - correlation.round(ROUNDED), numItermax=10_000_000)
    rows, columns = np.nonzero(plan)
    return rows, columns, plan[rows, columns] / common


@dataclass(frozen=True)
class Matching:
    """Plans of matchings: edges between units ``rows`` and ``columns`` with ``masses``, (…, E) each.

    Plans with fewer edges are filled up with edges of no mass. ``one_to_one``: no unit has two edges. ``meeting``:
    pairs of edges that meet in a column (see :func:`_meeting`), where they are few, and in a row for the reverse.
    """

    rows: Tensor
    columns: Tensor
    masses: Tensor
    shape: tuple[int, int]
    one_to_one: bool
    meeting: tuple[Tensor, ...] | None = None
    meeting_of_reverse: tuple[Tensor, ...] | None = None

    @property
    def weights(self) -> Tensor:
        """The plans as matrices (…, N_x, N_y)."""
        n_x, n_y = self.shape
        empty = self.masses.new_zeros(*self.masses.shape[:-1], n_x * n_y)
        return empty.scatter_add_(-1, self.rows * n_y + self.columns, self.masses).unflatten(-1, self.shape)


def reverse(plan: Matching) -> Matching:
    """The same plans from the target's side."""
    turned = replace(plan, rows=plan.columns, columns=plan.rows, shape=plan.shape[::-1])
    return replace(turned, meeting=plan.meeting_of_reverse, meeting_of_reverse=plan.meeting)


def assigned(training: Training) -> Matching:
    """One unit with one; where numbers of live units differ, the surplus stays unmatched."""
    return solved(training, assignment, one_to_one=True)


def transported(training: Training) -> Matching:
    """Optimal transport; where there are as many live units on both sides, one unit with one."""
    _, live_x, live_y = training.once(_correlations)
    if (live_x.sum(axis=1) == live_y.sum(axis=1)).all():
        return training.once(assigned)
    return solved(training, transport, one_to_one=False)


def _correlations(training: Training) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the training stimuli, (B, N_x, N_y), and which units live: on the host, where plans are solved."""
    source, target, cross = training.source, training.target, training.cross
    spread = [torch.where(units.live, units.variance, 1.0).rsqrt() for units in (source, target)]
    correlation = (cross * spread[0][..., :, None]).mul_(spread[1][..., None, :])
    live = (units.live.expand(*cross.shape[:-2], -1).flatten(0, -2) for units in (source, target))
    live_x, live_y = (one.cpu().numpy() for one in live)
    return correlation.flatten(0, -3).cpu().numpy(), live_x, live_y


def solved(training: Training, solve: Callable[[NDArray[np.float64]], Plan], one_to_one: bool) -> Matching:
    """A plan for each matrix of training correlations, of live units alone: on the CPU, whatever the device."""
    cross, lead = training.cross, training.cross.shape[:-2]
    flat, live_x, live_y = training.once(_correlations)
    # Torch has one thread where blocks are worked on side by side; beside a GPU, which they wait for, the plans are.
    threads = min(torch.get_num_threads(), len(flat))
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        plans = list((pool.map if pool else map)(partial(_among_live, solve), flat, live_x, live_y))
    edges = [torch.from_numpy(stack).to(cross.device).unflatten(0, lead) for stack in _padded(plans)]
    found = Matching(edges[0], edges[1], edges[2], (cross.shape[-2], cross.shape[-1]), one_to_one)
    if one_to_one or min(found.shape) < _FEW:
        return found

    def placed(kind: Sequence[NDArray[Any]]) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(part).to(cross.device).unflatten(0, lead) for part in kind)

    both = (_meeting(plans), _meeting([(columns, rows, masses) for rows, columns, masses in plans]))
    return replace(found, meeting=placed(both[0]), meeting_of_reverse=placed(both[1]))


def _meeting(plans: Sequence[Plan]) -> list[NDArray[Any]]:
    """Of each plan the pairs of edges that meet in a column: (B, pairs) rows of the one and of the other, column, mass.

    The mass is the product of both, and twice that for two edges that differ, since each pair stands once.
    """
    found = []
    for rows, columns, masses in plans:
        order = np.argsort(columns, kind="stable")
        rows, columns, masses = rows[order], columns[order], masses[order]
        later = np.searchsorted(columns, columns, side="right") - np.arange(len(columns))  # in the column, from each on
        one = np.repeat(np.arange(len(columns)), later)
        other = one + np.arange(len(one)) - np.repeat(np.cumsum(later) - later, later)
        product = masses[one] * masses[other] * np.where(one == other, 1.0, 2.0)
        found.append((rows[one], rows[other], columns[one], product))
    return _padded(found)


def _padded(plans: Sequence[tuple[NDArray[Any], ...]]) -> list[NDArray[Any]]:
    """Stacks (B, most) of each part, filled up with zeros."""
    most = max((len(plan[0]) for plan in plans), default=0)
    stacks = []
    for parts in zip(*plans, strict=True):
        stacks.append(np.zeros((len(plans), most), parts[0].dtype))
        for row, part in zip(stacks[-1], parts, strict=True):
            row[: len(part)] = part
    return stacks


def _among_live(
    solve: Callable[[NDArray[np.float64]], Plan],
    correlation: NDArray[np.float64],
    live_x: NDArray[np.bool_],
    live_y: NDArray[np.bool_],
) -> Plan:
    if live_x.all() and live_y.all():
        return solve(correlation)
    rows, columns, masses = solve(correlation[live_x][:, live_y])
    return live_x.nonzero()[0][rows], live_y.nonzero()[0][columns], masses


def score(plan: Matching, held_out: HeldOut) -> scores.Scores:
    """All three scores of plans on held-out statistics."""
    edges = plan.rows, plan.columns, plan.masses
    if plan.one_to_one:
        found = scores.matched(*edges, held_out)
    elif plan.meeting is not None and held_out.source.turned is None:
        found = scores.spread(edges, plan.meeting, held_out)
    else:
        found = scores.dense(plan.weights, held_out)
    return replace(found, transport=scores.transported(*edges, held_out))
