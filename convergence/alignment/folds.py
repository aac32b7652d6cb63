"""Folds over stimuli: the same for every metric, layer and pair."""

from __future__ import annotations

import numpy as np
import torch

from convergence.system import seeds
from convergence.system.errors import UserError


def assign(rows: int, folds: int = 5, seed: int = 42) -> torch.Tensor:
    """Fold of each stimulus, equal to ``sklearn.model_selection.KFold(folds, shuffle=True, random_state=seed)``.

    Returns
    -------
    (rows,) int64 tensor with values in 0 … folds - 1.

    Raises
    ------
    UserError
        With fewer than two folds, or fewer than two stimuli in a fold: a correlation needs two points.
    """
    if folds < 2:
        raise UserError(f"folds={folds}: held-out scores need at least 2 folds.")
    if rows < 2 * folds:
        raise UserError(
            f"{rows} stimuli are too few for {folds} folds: give at least {2 * folds} stimuli or fewer folds."
        )
    order = np.arange(rows)
    np.random.RandomState(seeds.for_random_state(seed)).shuffle(order)
    fold = np.empty(rows, dtype=np.int64)
    for k, members in enumerate(np.array_split(order, folds)):
        fold[members] = k
    return torch.from_numpy(fold)
