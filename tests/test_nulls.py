"""Chance: draws equal the obvious way, and the statistics keep what they promise on data with a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from convergence import align, nulls
from convergence.errors import UserError
from convergence.folds import assign
from convergence.scoring import COLUMNS
from tests.test_scores import SCORES, layers, with_dead

KEYS = ["layer_x", "layer_y", "metric", "direction"]


def chance(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of one null, without those of single draws."""
    return table[(table.null == kind) & table.draw.isna()]


def reordered(x: dict[str, np.ndarray], draw: int, folds: int = 5) -> dict[str, np.ndarray]:
    rows = len(next(iter(x.values())))
    order = nulls.permutation(assign(rows, folds), 0, draw).numpy()
    return {name: values[order] for name, values in x.items()}


def turned(x: dict[str, np.ndarray], draw: int, dead: int = 0) -> dict[str, np.ndarray]:
    """Each layer times a random orthogonal matrix of its live units; the first ``dead`` are not."""
    made = {}
    for name, values in x.items():
        q = nulls.orthogonal(values.shape[1] - dead, 0, draw).numpy()
        made[name] = np.concatenate([values[:, :dead], values[:, dead:] @ q], axis=1)
    return made


# ---------------------------------------------------------------- the obvious way

CASES = {
    "equal and unequal widths": (layers(1, 120, (12, 20)), layers(2, 120, (12, 15)), 0),
    "dead units": (with_dead(layers(1, 120, (12, 20)), 3.3), with_dead(layers(2, 120, (12, 15)), 0), 3),
    "fewer stimuli than units": (layers(1, 40, (40, 64)), layers(2, 40, (40, 48)), 0),
    "means far above the spread": (layers(1, 120, (12,), 1e4), layers(2, 120, (12,), 1e4), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_a_draw_of_shuffle_is_the_score_of_reordered_stimuli(case: str) -> None:
    x, y, _ = CASES[case]
    table = align(x, y, null="shuffle", draws=3, alpha=0.5, keep_draws=True)
    for draw in range(3):
        expected = align(reordered(x, draw), y).groupby(KEYS)[SCORES].mean()
        found = table[table.draw == draw].set_index(KEYS)[SCORES]
        pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("direction", ["x->y", "y->x"])
def test_a_draw_of_rotation_is_the_score_of_a_turned_source(case: str, direction: str) -> None:
    x, y, dead = CASES[case]
    table = align(x, y, null="rotation", draws=3, alpha=0.5, keep_draws=True)
    for draw in range(3):
        sides = (turned(x, draw, dead), y) if direction == "x->y" else (x, turned(y, draw, dead))
        expected = align(*sides, metrics=["permutation", "soft_matching"]).groupby(KEYS)[SCORES].mean()
        expected = expected.xs(direction, level="direction", drop_level=False)
        found = table[(table.draw == draw) & (table.direction == direction)].set_index(KEYS)[SCORES]
        pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index(), atol=1e-6, rtol=0)
