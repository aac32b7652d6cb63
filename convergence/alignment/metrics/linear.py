"""Ridge regression: any linear map, its penalty chosen on the training folds.

The penalty is one of 17 from 10^-8 to 10^8, the one with the least generalised cross-validation error
(Golub, Heath & Wahba 1979, eq. 1.4), summed over the target's units. One eigendecomposition of the source's
training scatter serves all targets and all penalties.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convergence.alignment.metrics.metric import Freedom, Metric
from convergence.alignment.moments.splits import LayerSplit

METRIC = Metric(
    name="linear",
    label="linear",
    about="any linear map: ridge regression",
    place=0,
    look=("#E69F00", "o", "-"),
    paper=True,
    freedom=Freedom.linear,
    ignores=("order of units", "scale", "rotation", "offset of each unit"),
    gram=True,
)

PENALTIES = tuple(10.0**e for e in range(-8, 9))


def fit(source: LayerSplit, targets: list[LayerSplit], cross: list[Tensor]) -> tuple[list[Tensor], list[float]]:
    """Ridge maps from one source layer to several target layers.

    Parameters
    ----------
    source : the layer that predicts (N_x live units).
    targets : the layers that are predicted (N_y live units each).
    cross : training cross scatter (N_x, N_y) of the source with each target.

    Returns
    -------
    The maps W, (N_x, N_y) each, and the penalties, on the scale of scikit-learn's ``Ridge(alpha)``.
    """
    values, vectors = source.eigen
    projected = vectors.T @ torch.cat(cross, dim=1)
    widths = [c.shape[1] for c in cross]
    chosen = _penalties(values, projected.split(widths, dim=1), targets, source.n_train)
    scale = values[:, None] + torch.repeat_interleave(chosen, torch.tensor(widths, device=chosen.device))
    maps = vectors @ projected.div_(scale)
    return list(maps.split(widths, dim=1)), chosen.tolist()


def _penalties(values: Tensor, projected: tuple[Tensor, ...], targets: list[LayerSplit], n: int) -> Tensor:
    """The penalty with the least GCV error, for each target: (targets,)."""
    energy = torch.stack([z.square().sum(dim=1) for z in projected], dim=1) / values[:, None]
    return least_gcv(values, energy, torch.stack([t.variance_train.sum() for t in targets]), n)


def least_gcv(values: Tensor, energy: Tensor, total: Tensor, n: int) -> Tensor:
    """The penalty with the least generalised cross-validation error, for each target.

    Parameters
    ----------
    values : (r,) eigenvalues of the source's training scatter.
    energy : (r, targets) the part of the target's training scatter that lies along each of the source's directions.
    total : (targets,) the target's training scatter, summed over its units.
    n : training samples.
    """
    penalties = torch.tensor(PENALTIES, dtype=values.dtype, device=values.device)
    outside = (total - energy.sum(dim=0)).clamp_min(0)
    # The centring takes one degree of freedom; what the source cannot reach stays in the residual. Counting both
    # by rank keeps the ratio finite where a small penalty interpolates.
    free = n - 1 - len(values)
    if free <= 0:
        free, outside = 0, torch.zeros_like(outside)
    shrunk = penalties[:, None] / (values + penalties[:, None])
    residual = outside + shrunk.square() @ energy
    gcv = residual / (free + shrunk.sum(dim=1, keepdim=True)).square()
    # Of penalties that are equal to rounding, the largest: the choice must not hang on the last digit.
    near = gcv <= gcv.amin(dim=0) * (1 + 1e-9)
    last = len(PENALTIES) - 1 - near.flip(0).int().argmax(dim=0)
    return penalties[last]
