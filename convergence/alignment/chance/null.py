"""Chance: what a score would be if two networks shared nothing, or shared everything but their axes.

`shuffle` pairs the stimuli of X with others of Y: "do they share anything?" `rotation` turns the source by a random
orthogonal matrix: "is its basis privileged?" Both are scored under the same folds and fits as the data themselves.

Stimuli are exchanged within folds. These permutations form a group, so that p-values are exact (Hemerik & Goeman 2018,
theorem 1): without an association the score of the data is one of equals among its draws. And they keep each
fold's moments of X and of Y, so that only the moments between the two are new: a draw fits from the same means, live
units and eigenvectors as the data. What survives a shuffle is what the means of the training folds share, K - 2 degrees
of freedom of n, which makes the null, if anything, harder to beat.

A draw depends on the seed, its number and the number of units or stimuli alone, never on how the work is cut up.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.metrics.metric import Metric
from convergence.system import seeds
from convergence.system.errors import UserError
from convergence.system.notes import say_once

if TYPE_CHECKING:
    from convergence.alignment.options import NullConfig

KINDS = ("shuffle", "rotation")
CHOICES = {"shuffle": ("shuffle",), "rotation": ("rotation",), "both": KINDS}
# Linear maps and orthogonal ones absorb a rotation of their source: against it they are their own null.
BASIS_BOUND = tuple(name for name, metric in MEASURES.items() if metric.basis_bound)
_ROUNDING = 1e-12  # a draw that is the data again must count as equal

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Null:
    """Which nulls, and how many draws of each.

    Attributes
    ----------
    kinds : of ``shuffle`` and ``rotation``.
    alpha : τ is the (1 - alpha) quantile of a null.
    keep : whether the draws become rows of their own.

    Raises
    ------
    UserError
        If so few draws cannot show anything at this alpha.
    """

    kinds: tuple[str, ...]
    draws: int = 200
    alpha: float = 0.05
    seed: int = 0
    keep: bool = False

    def rounds(self, metrics: Sequence[str]) -> int:
        """How often each pair is scored on each fold: once for the data, and once for each draw."""
        kinds = [kind for kind in self.kinds if kind == "shuffle" or set(BASIS_BOUND) & set(metrics)]
        return 1 + len(kinds) * self.draws

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UserError(f"alpha={self.alpha:g} is no probability between 0 and 1.")
        least = math.ceil(1 / self.alpha - 1e-9) - 1
        if self.draws < least:
            raise UserError(
                f"draws={self.draws} can give no p-value below 1/{self.draws + 1}, and alpha={self.alpha:g}: "
                f"ask for {least} draws or more."
            )


def of(options: NullConfig) -> Null | None:
    """The nulls that a config asks for, if any."""
    kinds = tuple(kind.value for kind in options.kinds)
    return Null(kinds, options.draws, options.alpha, options.seed, options.keep_draws) if kinds else None


def say_where_idle(null: Null | None, metrics: Sequence[Metric]) -> None:
    """Say once if chance says nothing of any of the metrics, and so leaves no row; with those that it does."""
    if null and null.kinds == ("rotation",) and not any(metric.basis_bound for metric in metrics):
        ignore = "ignores" if len(metrics) == 1 else "ignore"
        say_once(
            f"null=rotation changes no score of {', '.join(metric.name for metric in metrics)}, which {ignore} a "
            f"rotation by construction, and leaves no row: add {' or '.join(BASIS_BOUND)}, or use null=shuffle.",
            logging.WARNING,
        )


def permutation(fold: Tensor, seed: int, draw: int) -> Tensor:
    """Order of the stimuli (M,) in draw number ``draw``: each goes to the place of another one of its fold."""
    # Sorting raw bits of Philox: unlike a library's shuffle, these are promised to stay the same across versions.
    bits = np.random.Philox(
        np.random.SeedSequence([seeds.for_sequence(seed), KINDS.index("shuffle"), draw])
    ).random_raw(len(fold))
    order = np.empty(len(fold), dtype=np.int64)
    order[np.argsort(fold.numpy(), kind="stable")] = np.lexsort((bits, fold.numpy()))
    return torch.from_numpy(order)


def orthogonal(units: int, seed: int, draw: int) -> Tensor:
    """Random orthogonal matrix (units, units), uniform in the sense of Haar (Mezzadri 2007)."""
    bits = np.random.Philox(np.random.SeedSequence([seeds.for_sequence(seed), KINDS.index("rotation"), draw, units]))
    gaussian = torch.from_numpy(np.random.Generator(bits).standard_normal((units, units)))
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()


def p_value(observed: Array, null: Array) -> Array:
    """(1 + #{null ≥ observed}) / (1 + draws), the draws along the first axis; NaN where nothing was observed."""
    p = (1 + (null >= observed - _ROUNDING).sum(axis=0)) / (1 + len(null))
    return np.where(np.isnan(observed), np.nan, p)


def quantile(null: Array, alpha: float) -> Array:
    """τ, the (1 - alpha) quantile: the draw that exactly scores with p ≤ alpha exceed; draws along the first axis."""
    most = math.floor(alpha * (1 + len(null)) + 1e-9) - 1  # so many draws may reach a score of p ≤ alpha
    return np.sort(null, axis=0)[len(null) - 1 - most]


def calibrated(score: Array, tau: Array) -> Array:
    """max((s - τ) / (1 - τ), 0): 0 at chance, 1 where the score is 1 (arXiv 2602.14486)."""
    room = 1 - tau
    return np.where(room > 0, np.maximum((score - tau) / np.where(room > 0, room, 1), 0), 0 * score)
