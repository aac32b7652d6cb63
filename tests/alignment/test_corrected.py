"""Scores corrected for the noise of repeated responses: every fitted metric, by moments and by Gram matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from convergence.alignment.arrays import Arrays
from convergence.alignment.score import score

MAPS = ("linear", "procrustes", "permutation", "soft_matching", "partial_soft_matching")
ROWS, UNITS = 60, 5


class Repeated(Arrays):
    """Responses of one layer, whose units are known to repeat so well."""

    def __init__(self, responses: np.ndarray, reliability: list[float]) -> None:
        super().__init__({"area": responses}, "y")
        self.reliability = {"area": torch.tensor(reliability, dtype=torch.float64)}


def scored(width: int, reliability: list[float], metrics: tuple[str, ...] = MAPS) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((ROWS, UNITS))
    x = np.concatenate([signal, signal[:, :1].repeat(max(0, width - UNITS), 1)], axis=1)[:, :width]
    x, y = (a + 0.5 * rng.standard_normal(a.shape) for a in (x, signal))
    return score(Arrays({"layer": x}, "x"), Repeated(y, reliability), [("layer", "area")], metrics=list(metrics))


CASES = [
    (UNITS, MAPS),
    (UNITS + 2, tuple(m for m in MAPS if m != "permutation")),
    (ROWS + 20, ("linear", "procrustes")),
]


@pytest.mark.parametrize(("width", "metrics"), CASES, ids=["equal widths", "unequal widths", "Gram matrices"])
def test_it_is_the_mean_over_reliable_units_of_r_over_the_root_of_reliability(
    width: int, metrics: tuple[str, ...]
) -> None:
    keys = ["metric", "fold"]

    def towards(reliability: list[float]) -> pd.DataFrame:
        rows = scored(width, reliability, metrics)
        return rows[rows.direction == "x->y"].set_index(keys)

    alone = [towards([0.25 if i == j else 0.1 for i in range(UNITS)]).score_corrected for j in range(UNITS)]
    r = pd.concat(alone, axis=1).to_numpy() * 0.25**0.5  # each unit's own held-out correlation
    np.testing.assert_allclose(np.nanmean(r, axis=1), alone_score := towards([1.0] * UNITS).score, atol=1e-10)
    rho = np.array([0.05, 0.2, 0.5, 0.9, np.nan])
    found = towards(rho.tolist())
    expected = np.nanmean(r[:, 1:4] / np.sqrt(rho[1:4]), axis=1)
    np.testing.assert_allclose(found.score_corrected, expected, atol=1e-10)
    pd.testing.assert_series_equal(found.score, alone_score)


def test_there_is_none_where_nothing_was_repeated_or_nothing_is_reliable() -> None:
    rows = scored(UNITS, [0.5] * UNITS, ("linear", "cka"))
    assert rows[rows.direction == "y->x"].score_corrected.isna().all()
    assert rows[rows.metric == "cka"].score_corrected.isna().all()
    assert "score_corrected" not in scored(UNITS, [0.1] * UNITS, ("linear",))
