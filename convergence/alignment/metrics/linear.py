"""Ridge regression: any linear map, its penalty chosen on the training folds.

The penalty is one of 17 from 10^-8 to 10^8, the one with the least generalised cross-validation error
(Golub, Heath & Wahba 1979, eq. 1.4), summed over the target's units. One eigendecomposition of the source's
training scatter serves all targets and all penalties.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convergence.alignment.metrics import scores
from convergence.alignment.metrics.metric import Freedom, HeldOut, Metric, Training

PENALTIES = tuple(10.0**e for e in range(-8, 9))


@dataclass(frozen=True)
class Ridge:
    """Maps from the source's directions, and their penalties (…,) on the scale of scikit-learn's ``Ridge(alpha)``.

    ``directions`` (…, N_x, r) are the eigenvectors of its training scatter, ``coefficients`` (…, r, N_y) the maps.
    """

    directions: Tensor
    coefficients: Tensor
    penalty: Tensor

    @property
    def weights(self) -> Tensor:
        """The maps from its units (…, N_x, N_y)."""
        return self.directions @ self.coefficients


def fit(training: Training) -> Ridge:
    """Ridge maps by the eigenvectors of the source's training scatter."""
    assert training.source.eigen is not None
    values, vectors, kept = training.source.eigen
    projected = vectors.mT @ training.cross
    energy = torch.where(kept, projected.square().sum(dim=-1) / torch.where(kept, values, 1.0), 0.0)
    total = training.target.variance.sum(dim=-1)
    penalty = least_gcv(values, kept, energy, total, training.source.n.squeeze(-1))
    inverse = torch.where(kept, 1 / torch.where(kept, values + penalty[..., None], 1.0), 0.0)
    return Ridge(vectors, projected.mul_(inverse[..., None]), penalty)


def least_gcv(values: Tensor, kept: Tensor, energy: Tensor, total: Tensor, n: Tensor) -> Tensor:
    """The penalty with the least generalised cross-validation error (…,).

    Parameters
    ----------
    values, kept : (…, N) eigenvalues of the source's training scatter, and which are in its numerical range.
    energy : (…, N) the part of the target's training scatter that lies along each of the source's directions.
    total : (…,) the target's training scatter, summed over its units.
    n : training samples, (…,).
    """
    penalties = torch.tensor(PENALTIES, dtype=values.dtype).to(values.device, non_blocking=True)
    outside = (total - energy.sum(dim=-1)).clamp_min(0)
    # The centring takes one degree of freedom; what the source cannot reach stays in the residual. Counting both
    # by rank keeps the ratio finite where a small penalty interpolates.
    free = n - 1 - kept.sum(dim=-1)
    outside = torch.where(free > 0, outside, 0.0)
    reached = torch.where(kept, values, torch.inf)[..., None, :]
    shrunk = penalties[:, None] / (reached + penalties[:, None])
    residual = outside[..., None] + (shrunk.square() @ energy[..., None]).squeeze(-1)
    gcv = residual / (free.clamp_min(0)[..., None] + shrunk.sum(dim=-1)).square()
    # Of penalties that are equal to rounding, the largest: the choice must not hang on the last digit.
    near = gcv <= gcv.amin(dim=-1, keepdim=True) * (1 + 1e-9)
    return penalties[len(PENALTIES) - 1 - near.flip(-1).int().argmax(dim=-1)]


def score(ridge: Ridge, held_out: HeldOut) -> scores.Scores:
    """Its scores on held-out statistics, with the penalty."""
    coordinates = held_out.source.coordinates
    if held_out.few and coordinates is not None:
        shift = (held_out.source.shift[..., None, :] @ ridge.directions).squeeze(-2)
        found = scores.of_predictions(coordinates, shift, ridge.coefficients, held_out)
    else:
        found = scores.dense(ridge.weights, held_out)
    return replace(found, penalty=ridge.penalty)


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
    spectral=True,
    fit=fit,
    score=score,
)
