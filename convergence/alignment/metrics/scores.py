"""The three scores of a fitted map on the held-out fold (METHODS: "three numbers that literature mixes up")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convergence.alignment.moments.splits import LayerSplit, Units

# A prediction whose held-out variance is below this share of what its weights could carry is constant.
_CONSTANT = 1e-14
_BLOCK = 64  # units: below it, halving a matrix product costs more than it saves


@dataclass(frozen=True)
class Scores:
    """``score``: mean Pearson r over target units; ``overall``: Frobenius correlation (column score_global).

    ``corrected``: the mean of r by what each target unit's repeats allow (column score_corrected); None without them.
    """

    score: Tensor
    overall: Tensor
    corrected: Tensor | None = None


def dense(weights: Tensor, source: LayerSplit, target: LayerSplit, cross: Tensor) -> Scores:
    """Scores of a dense map.

    Parameters
    ----------
    weights : (…, N_x, N_y) map; X W predicts Y.
    source, target : the layers, live units only.
    cross : (…, N_x, N_y) held-out cross scatter.
    """
    return _scores(
        covariance=(weights * cross).sum(dim=-2),
        variance=quadratic(source.test, weights),
        reach=weights.square().sum(dim=-2) * source.variance_test.sum(dim=-1, keepdim=True),
        drift=(source.drift[..., None, :] @ weights).squeeze(-2),
        target=(target.variance_test, target.drift, target.varies),
        ceiling=target.ceiling,
        n=source.n_test,
    )


def matched(rows: Tensor, columns: Tensor, source: Units, target: Units, cross: Tensor) -> Scores:
    """Scores of a one-to-one matching of source units ``rows`` with target units ``columns``, (…, E) each.

    Units without a partner are out of all means. The same as :func:`dense`, without a matrix product.
    """
    return _scores(
        covariance=_entries(cross, rows, columns),
        variance=_pick(source.variance_test, rows),
        reach=source.variance_test.sum(dim=-1, keepdim=True),
        drift=_pick(source.drift, rows),
        target=tuple(_pick(v, columns) for v in (target.variance_test, target.drift, target.varies)),
        ceiling=None if target.ceiling is None else _pick(target.ceiling, columns),
        n=source.n_test,
    )


def over_reached(result: Scores, plan: Tensor, target: Units) -> Scores:
    """The same with its mean over the target units that a plan (…, N_x, N_y) reaches; others, with r = 0, are out."""
    reached = target.varies & (plan.sum(dim=-2) > 0)
    corrected = result.corrected
    if corrected is not None and target.ceiling is not None:
        reliable = target.ceiling > 0
        corrected = corrected * (target.varies & reliable).sum(dim=-1) / (reached & reliable).sum(dim=-1)
    return Scores(result.score * target.varies.sum(dim=-1) / reached.sum(dim=-1), result.overall, corrected)


def transported(rows: Tensor, columns: Tensor, masses: Tensor, source: Units, target: Units, cross: Tensor) -> Tensor:
    """Σ T_ij r_ij on the held-out fold, over the mass between units that vary there; plans are (…, E)."""
    both = _pick(source.varies, rows) & _pick(target.varies, columns)
    scale = torch.where(both, _pick(source.variance_test, rows) * _pick(target.variance_test, columns), 1.0).sqrt()
    r = torch.where(both, _entries(cross, rows, columns) / scale, 0.0)
    return (masses * r).sum(dim=-1) / (masses * both).sum(dim=-1)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Entries ``index`` (…, E) of values (…, N); the leading dimensions broadcast."""
    return values.expand(*index.shape[:-1], values.shape[-1]).gather(-1, index)


def _entries(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return matrix.flatten(-2).gather(-1, rows * matrix.shape[-1] + columns)


def quadratic(scatter: Tensor, weights: Tensor) -> Tensor:
    """wᵀSw of each column w of (…, N_x, N_y). S is symmetric: of its two mixed quarters only one is multiplied."""
    half = weights.shape[-2] // 2
    if half < _BLOCK:
        return (scatter @ weights).mul_(weights).sum(dim=-2)
    upper, lower = weights[..., :half, :], weights[..., half:, :]
    mixed = (scatter[..., :half, half:] @ lower).mul_(upper).sum(dim=-2)
    return quadratic(scatter[..., :half, :half], upper) + 2 * mixed + quadratic(scatter[..., half:, half:], lower)


def _scores(
    covariance: Tensor,
    variance: Tensor,
    reach: Tensor,
    drift: Tensor,
    target: tuple[Tensor, ...],
    ceiling: Tensor | None,
    n: int,
) -> Scores:
    variance_y, drift_y, varies = target
    usable = varies & (variance > _CONSTANT * reach)
    # A constant prediction explains nothing of a unit that varies: r = 0, and the unit stays in the mean.
    r = torch.where(usable, covariance / torch.where(usable, variance * variance_y, 1.0).sqrt(), 0.0)
    shared = covariance.sum(dim=-1) + n * (drift * drift_y).sum(dim=-1)
    size_x = variance.sum(dim=-1).clamp_min(0) + n * drift.square().sum(dim=-1)
    size_y = variance_y.sum(dim=-1) + n * drift_y.square().sum(dim=-1)
    product = (size_x * size_y).sqrt()
    corrected = None if ceiling is None else _corrected(r, ceiling, varies)
    return Scores(r.sum(dim=-1) / varies.sum(dim=-1), torch.where(product > 0, shared / product, 0.0), corrected)


def _corrected(r: Tensor, ceiling: Tensor, varies: Tensor) -> Tensor:
    """Mean of r over the ceilings of units that have one; NaN where none has."""
    reliable = varies & (ceiling > 0)
    return torch.where(reliable, r / torch.where(reliable, ceiling, 1.0), 0.0).sum(dim=-1) / reliable.sum(dim=-1)
