"""Linear regression and Procrustes from the Gram side: maps as weights of training stimuli.

In both families the map that is fitted on training responses X and Y is W = XᵀDY with some D (n × n), so that held-out
responses Z predict ZW = PY with P = ZXᵀD, (m × n): m held-out stimuli by n training stimuli. P needs Gram matrices
alone. The maps are those that ``linear.py`` and ``procrustes.py`` fit.
"""

from __future__ import annotations

from torch import Tensor

from convergence.alignment.metrics import procrustes as primal
from convergence.alignment.metrics.linear import least_gcv
from convergence.alignment.moments.grams import Spectrum


def linear(source: Spectrum, target: Spectrum) -> tuple[Tensor, Tensor]:
    """Ridge: P (m, n), and the penalty with the least generalised cross-validation error, a scalar tensor."""
    energy = (source.vectors * (target.train @ source.vectors)).sum(dim=0)[:, None]
    total = target.train.diagonal().sum()[None]
    penalty = least_gcv(source.values, energy, total, len(source.train))[0]
    return (source.cross @ source.vectors / (source.values + penalty)) @ source.vectors.T, penalty


def procrustes(x: Spectrum, y: Spectrum) -> Tensor:
    """The polar factor (r_x, r_y) of the training cross scatter, in the eigenvectors of either side."""
    scale_x, scale_y = x.values.sqrt(), y.values.sqrt()
    return primal.fit(scale_x[:, None] * (x.vectors.T @ y.vectors) * scale_y)


def rotated(source: Spectrum, target: Spectrum, polar: Tensor) -> Tensor:
    """P (m, n) of a polar factor (r_source, r_target)."""
    scores = source.cross @ source.vectors / source.values.sqrt()
    return (scores @ polar) @ (target.vectors / target.values.sqrt()).T
