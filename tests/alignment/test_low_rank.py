"""Layers of low rank, as of a convolution to more channels than it reads: what float32 adds is no evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import svd
from sklearn.model_selection import KFold

from convergence import align

RANK, WIDTHS = 12, (96, 80)
Responses = tuple[np.ndarray, np.ndarray]


def low_rank(stimuli: int) -> Responses:
    """A layer in float64 that reads a few channels, and one of full rank that shares them."""
    rng = np.random.default_rng(0)
    channels = np.maximum(rng.normal(size=(stimuli, RANK)), 0)
    x = channels @ rng.normal(size=(RANK, WIDTHS[0])) + rng.normal(size=WIDTHS[0])
    y = channels @ rng.normal(size=(RANK, WIDTHS[1])) + rng.normal(size=(stimuli, WIDTHS[1]))
    return x, y


def scores(x: np.ndarray, y: np.ndarray, metrics: list[str]) -> np.ndarray:
    """Of all metrics, directions and folds."""
    return align({"x": x}, {"y": y}, metrics=metrics)["score"].to_numpy()


def single(responses: np.ndarray) -> np.ndarray:
    return responses.astype(np.float32)


def reordered(responses: np.ndarray) -> np.ndarray:
    return responses[:, np.random.default_rng(1).permutation(responses.shape[1])]


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float32": single,
    "float32 in float64": lambda responses: single(responses).astype(np.float64),
    "float32 reordered": lambda responses: reordered(single(responses)),
    "float32 scaled": lambda responses: single(responses) * np.float32(1e-3),
    "float32 far from zero": lambda responses: single(responses + 1000),
    "float64 reordered": reordered,
}


@pytest.mark.parametrize("change", CHANGES)
def test_rounding_is_no_evidence(change: str) -> None:
    x, y = low_rank(400)
    metrics = ["linear", "procrustes", "cca", "pwcca", "cka"]
    changed = scores(CHANGES[change](x), CHANGES[change](y), metrics)
    np.testing.assert_allclose(changed, scores(x, y, metrics), rtol=0, atol=1e-5)


def test_procrustes_is_the_partial_isometry_on_the_true_rank() -> None:
    x, y = low_rank(400)
    expected = []
    for train, test in KFold(5, shuffle=True, random_state=42).split(x):
        centred_x, centred_y = x - x[train].mean(axis=0), y - y[train].mean(axis=0)
        left, _, right = svd(centred_x[train].T @ centred_y[train])
        predicted = centred_x[test] @ left[:, :RANK] @ right[:RANK]
        expected.append(np.mean([np.corrcoef(*both)[0, 1] for both in zip(predicted.T, y[test].T, strict=True)]))
    table = align({"x": single(x)}, {"y": single(y)}, metrics=["procrustes"])
    found = table[table["direction"] == "x->y"].sort_values("fold")["score"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_gram_matrices_and_moments_agree() -> None:
    x, y = (single(side + 100) for side in low_rank(60))  # more units than stimuli
    table = align({"x": x}, {"y": y}, metrics=["procrustes", "soft_matching"])  # matching has no Gram side
    by_moments = table.loc[table["metric"] == "procrustes", "score"]
    np.testing.assert_allclose(scores(x, y, ["procrustes"]), by_moments, rtol=0, atol=1e-6)
