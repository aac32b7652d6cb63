"""Orthogonal Procrustes: a rotation or reflection, a partial isometry between unequal widths.

The map is the polar factor U Vᵀ of the training cross scatter U S Vᵀ (Schönemann 1966), on its numerical range:
directions without evidence (fewer stimuli than units) predict nothing. Transposed, it is the reverse direction's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convergence.alignment.metrics.metric import Freedom, Metric

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
)

# Singular values down to this share of the largest come from the Gram matrix, which squares their condition number
# (1e-4 leaves eight digits); the weaker ones, often few, from a singular value decomposition of what is left.
_STRONG = 1e-4


def fit(cross: Tensor) -> Tensor:
    """Partial isometry (…, N_x, N_y) that maximises <XW, Y>, from the training cross scatter (…, N_x, N_y)."""
    if cross.ndim > 2:
        return torch.stack([fit(draw) for draw in cross])
    if 0 in cross.shape:
        return torch.zeros_like(cross)
    if cross.shape[0] < cross.shape[1]:
        return fit(cross.T).T
    squares, right = torch.linalg.eigh(cross.T @ cross)
    weak = int((squares < _STRONG**2 * squares[-1]).sum())
    if weak > len(squares) // 2:
        return _polar(cross, float(squares[-1].clamp_min(0).sqrt()))
    mapped = cross @ right
    left = mapped[:, weak:] / squares[weak:].sqrt()
    polar = left @ right[:, weak:].T
    if weak:
        rest = mapped[:, :weak] - left @ (left.T @ mapped[:, :weak])
        polar += _polar(rest, float(squares[-1].sqrt())) @ right[:, :weak].T
    return polar


def _polar(cross: Tensor, largest: float) -> Tensor:
    """U Vᵀ on the numerical range: singular values lost in the rounding of ``largest`` carry no evidence."""
    left, values, right = torch.linalg.svd(cross, full_matrices=False)
    floor = max(1e-12, len(cross) * torch.finfo(cross.dtype).eps)
    return (left * (values > floor * largest)) @ right
