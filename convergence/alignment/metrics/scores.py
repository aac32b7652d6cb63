"""The three scores of a fitted map on the held-out fold (METHODS: "three numbers that literature mixes up")."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convergence.alignment.metrics.metric import HeldOut
from convergence.alignment.moments.statistics import HeldOutUnits

# A prediction whose held-out variance is below this share of what its weights could carry is constant.
_CONSTANT = 1e-14
_ROWS = 64  # responses that are multiplied at a time, of pairs of units


@dataclass(frozen=True)
class Scores:
    """What a row holds, (…,) each; None where the metric has no such number.

    Attributes
    ----------
    score : mean Pearson r over target units, or the metric's own measure.
    overall : Frobenius correlation (column score_global).
    transport : Σ T_ij r_ij of a matching.
    penalty : of the ridge.
    corrected : the mean of r by what each target unit's repeats allow; None without them.
    doubtful : bool, where the fit has to be made again by a slower way.
    """

    score: Tensor
    overall: Tensor | None = None
    transport: Tensor | None = None
    penalty: Tensor | None = None
    corrected: Tensor | None = None
    doubtful: Tensor | None = None

    def stacked(self) -> Tensor:
        """(…, 6), NaN for what there is not."""
        missing = torch.full_like(self.score, torch.nan)
        doubtful = torch.zeros_like(self.score) if self.doubtful is None else self.doubtful.to(self.score.dtype)
        known = (self.score, self.overall, self.transport, self.penalty, self.corrected)
        parts = [missing if part is None else part for part in known]
        return torch.stack(torch.broadcast_tensors(*parts, doubtful), dim=-1)


@dataclass(frozen=True)
class Sums:
    """Sums over target units, from which scores follow; those of blocks of units add up. (…,) each."""

    r: Tensor
    counted: Tensor
    shared: Tensor
    size_x: Tensor
    size_y: Tensor
    corrected: Tensor | None = None
    reliable: Tensor | None = None

    def __add__(self, other: Sums) -> Sums:
        ends = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return Sums(*(None if a is None or b is None else a + b for a, b in ends))  # type: ignore[arg-type]

    @property
    def scores(self) -> Scores:
        """NaN where there is no unit to predict; an overall score of 0 where nothing is predicted."""
        product = (self.size_x * self.size_y).sqrt()
        corrected = None if self.corrected is None or self.reliable is None else self.corrected / self.reliable
        overall = torch.where(product > 0, self.shared / product, 0.0)
        return Scores(self.r / self.counted, overall, corrected=corrected)


def dense(weights: Tensor, held_out: HeldOut) -> Scores:
    """Scores of a dense map (…, N_x, N_y): X W predicts Y."""
    source, target, cross = held_out.source, held_out.target, held_out.cross
    if held_out.few and source.responses is not None:
        return of_predictions(source.responses, source.shift, weights, held_out)
    return summed(
        covariance=(weights * cross).sum(dim=-2),
        variance=source.quadratic(weights),
        reach=weights.square().sum(dim=-2) * _reach(source),
        shift=(source.shift[..., None, :] @ weights).squeeze(-2),
        target=target,
    ).scores


def of_predictions(coordinates: Tensor, shift: Tensor, coefficients: Tensor, held_out: HeldOut) -> Scores:
    """Scores of a map by its predictions of kept responses.

    That is fewer products than by :func:`dense` where the responses are fewer than the source has units.

    Parameters
    ----------
    coordinates, shift : (…, T, r) the source's kept responses along orthonormal directions, and (…, r) its shift.
    coefficients : the map from these directions (…, r, N_y).
    """
    source, target = held_out.source, held_out.target
    predicted = coordinates @ coefficients
    assert target.responses is not None
    return summed(
        covariance=(predicted * beside(target.responses, held_out)).sum(dim=-2),
        variance=predicted.square_().sum(dim=-2),
        reach=coefficients.square().sum(dim=-2) * _reach(source),
        shift=(shift[..., None, :] @ coefficients).squeeze(-2),
        target=target,
    ).scores


def beside(responses: Tensor, held_out: HeldOut) -> Tensor:
    """What is known of the target's kept responses, (…, T, N_y) or along other directions, in the source's order."""
    if held_out.beside is None:
        return responses
    rows = held_out.beside[0]  # (F, V, T)
    folds = torch.arange(len(rows), device=rows.device)
    return responses[:, folds[:, None, None], 0, rows]


def _reach(source: HeldOutUnits) -> Tensor:
    """(…, 1) held-out variance of all units; infinite where none varies but by rounding: then no prediction does."""
    total = source.variance.sum(dim=-1, keepdim=True).clamp_min(0)
    return torch.where(source.varies.any(dim=-1, keepdim=True), total, torch.inf)


def matched(rows: Tensor, columns: Tensor, masses: Tensor, held_out: HeldOut) -> Scores:
    """Scores of a one-to-one matching of source units ``rows`` with target units ``columns``, (…, E) each.

    Units without a partner, and edges without mass, are out of all means. The same as :func:`dense`, without a
    matrix product.
    """
    source, target, there = held_out.source, held_out.target, masses > 0
    met = replace(
        target,
        variance=_pick(target.variance, columns) * there,
        shift=_pick(target.shift, columns) * there,
        varies=_pick(target.varies, columns) & there,
        ceiling=None if target.ceiling is None else _pick(target.ceiling, columns),
    )
    return summed(
        covariance=_entries(held_out.cross, rows, columns) * there,
        variance=_pick(source.variance, rows) * there,
        reach=_reach(source),
        shift=_pick(source.shift, rows) * there,
        target=met,
    ).scores


def spread(edges: tuple[Tensor, ...], meeting: tuple[Tensor, ...], held_out: HeldOut) -> Scores:
    """Scores of a plan with few edges: the same as :func:`dense`, without a matrix product.

    Parameters
    ----------
    edges : rows, columns and masses, (…, E) each.
    meeting : pairs of edges that meet in a column: rows of the one and of the other, column, mass; (…, pairs) each.
    """
    source, target = held_out.source, held_out.target
    rows, columns, masses = edges
    one, other, column, product = meeting
    empty = held_out.cross.new_zeros(*held_out.cross.shape[:-2], held_out.cross.shape[-1])

    def gathered(values: Tensor, index: Tensor) -> Tensor:
        shape = *empty.shape[:-1], index.shape[-1]
        return empty.scatter_add(-1, index.expand(shape), values.expand(shape))

    reach = gathered(masses.square(), columns)
    return summed(
        covariance=gathered(masses * _entries(held_out.cross, rows, columns), columns),
        variance=gathered(product * _within(source, one, other), column),
        reach=reach * _reach(source),
        shift=gathered(masses * _pick(source.shift, rows), columns),
        target=target,
    ).scores


def over_reached(result: Scores, plan: Tensor, target: HeldOutUnits) -> Scores:
    """The same with its mean over the target units that a plan (…, N_x, N_y) reaches; others, with r = 0, are out."""
    reached = target.varies & (plan.sum(dim=-2) > 0)
    corrected = result.corrected
    if corrected is not None and target.ceiling is not None:
        reliable = target.ceiling > 0
        corrected = corrected * (target.varies & reliable).sum(dim=-1) / (reached & reliable).sum(dim=-1)
    score = result.score * target.varies.sum(dim=-1) / reached.sum(dim=-1)
    return replace(result, score=score, corrected=corrected)


def transported(rows: Tensor, columns: Tensor, masses: Tensor, held_out: HeldOut) -> Tensor:
    """Σ T_ij r_ij on the held-out fold, over the mass between units that vary there; plans are (…, E)."""
    source, target = held_out.source, held_out.target
    both = _pick(source.varies, rows) & _pick(target.varies, columns)
    scale = torch.where(both, _pick(source.variance, rows) * _pick(target.variance, columns), 1.0).sqrt()
    r = torch.where(both, _entries(held_out.cross, rows, columns) / scale, 0.0)
    return (masses * r).sum(dim=-1) / (masses * both).sum(dim=-1)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Entries ``index`` (…, E) of values (…, N); the leading dimensions broadcast."""
    shape = np.broadcast_shapes(  # torch's own loads sympy, a quarter of a second
        index.shape[:-1], values.shape[:-1]
    )
    return values.expand(*shape, values.shape[-1]).gather(-1, index.expand(*shape, index.shape[-1]))


def _within(units: HeldOutUnits, one: Tensor, other: Tensor) -> Tensor:
    """Held-out scatter (…, E) of pairs of units of one side."""
    if units.scatter is not None:
        return _entries(units.scatter, one, other)
    assert units.responses is not None
    found = torch.zeros((), dtype=units.variance.dtype, device=one.device)
    for rows in units.responses.split(_ROWS, dim=-2):
        found = found + (_pick(rows, one[..., None, :]) * _pick(rows, other[..., None, :])).sum(dim=-2)
    return found


def _entries(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    if matrix.mT.is_contiguous():  # of the reverse direction: flattened, it would be copied
        matrix, rows, columns = matrix.mT, columns, rows
    return _pick(matrix.flatten(-2), rows * matrix.shape[-1] + columns)


def summed(covariance: Tensor, variance: Tensor, reach: Tensor, shift: Tensor, target: HeldOutUnits) -> Sums:
    """From the moments of predictions, (…, N_y) each, and of target units.

    Parameters
    ----------
    covariance : of the predictions with the target units; ``variance`` : their own.
    reach : the variance that their weights could carry.
    shift : their held-out mean minus their training mean.
    """
    varies, ceiling = target.varies, target.ceiling
    usable = varies & (variance > _CONSTANT * reach)
    # A constant prediction explains nothing of a unit that varies: r = 0, and the unit stays in the mean.
    r = torch.where(usable, covariance / torch.where(usable, variance * target.variance, 1.0).sqrt(), 0.0)
    samples = target.n.squeeze(-1)
    corrected: list[Tensor] = []
    if ceiling is not None:
        reliable = varies & (ceiling > 0)
        over = torch.where(reliable, r / torch.where(reliable, ceiling, 1.0), 0.0)
        corrected = [over.sum(dim=-1), reliable.sum(dim=-1)]
    return Sums(
        r.sum(dim=-1),
        varies.sum(dim=-1),
        covariance.sum(dim=-1) + samples * (shift * target.shift).sum(dim=-1),
        variance.sum(dim=-1).clamp_min(0) + samples * shift.square().sum(dim=-1),
        target.variance.sum(dim=-1) + samples * target.shift.square().sum(dim=-1),
        *corrected,
    )
