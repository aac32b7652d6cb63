"""The further measures: each against an independent oracle, and what it must ignore and must not."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.cross_decomposition import CCA
from sklearn.model_selection import KFold
from sklearn.neighbors import NearestNeighbors

from convergence import align
from convergence.alignment.metrics import matching
from convergence.alignment.metrics import partial_soft_matching as partial_matching
from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.alignment.metrics.cka import kernel, similarity
from convergence.alignment.metrics.mutual_knn import nearest, overlap
from convergence.alignment.metrics.rsa import correlation, ranks
from tests.support.layers import CASES, layers
from tests.support.reference import alive

FURTHER = [m for m in MEASURES if m not in METRICS]
WITHOUT_FIT = [m for m in MEASURES if not MEASURES[m].fitted]


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012, eq. 5, by loops over pairs and triples of the Gram matrices."""
    n = len(k)
    pairs = [(i, j) for i, j in product(range(n), repeat=2) if i != j]
    trace = sum(k[i, j] * m[j, i] for i, j in pairs)
    total = sum(k[i, j] for i, j in pairs) * sum(m[i, j] for i, j in pairs)
    chain = sum(k[i, j] * m[j, h] for i, j in pairs for h in range(n) if h != j)
    return (trace + total / ((n - 1) * (n - 2)) - 2 * chain / (n - 2)) / (n * (n - 3))


def cka(a: np.ndarray, b: np.ndarray) -> float:
    k, m = (v @ v.T for v in (a - a.mean(axis=0), b - b.mean(axis=0)))
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def rsa(a: np.ndarray, b: np.ndarray) -> float:
    return spearmanr(*(pdist(v, "correlation") for v in (a, b))).statistic


def mutual_knn(a: np.ndarray, b: np.ndarray) -> float:
    near = [NearestNeighbors(n_neighbors=10, metric="cosine").fit(v).kneighbors(return_distance=False) for v in (a, b)]
    return float(np.mean([len(set(i) & set(j)) / 10 for i, j in zip(*near, strict=True)]))


def canonical(
    a: np.ndarray, b: np.ndarray, a_test: np.ndarray, b_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out correlations by QR and SVD (Björck & Golub 1973), and the projection weights on both sides."""
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    (q_a, r_a), (q_b, r_b) = np.linalg.qr(a - mean_a), np.linalg.qr(b - mean_b)
    u, _, v = np.linalg.svd(q_a.T @ q_b, full_matrices=False)
    left, right = (a_test - mean_a) @ np.linalg.solve(r_a, u), (b_test - mean_b) @ np.linalg.solve(r_b, v.T)
    r = np.array([np.corrcoef(i, j)[0, 1] for i, j in zip(left.T, right.T, strict=True)])
    return r, np.abs((q_a @ u).T @ (a - mean_a)).sum(axis=1), np.abs((q_b @ v.T).T @ (b - mean_b)).sum(axis=1)


def plan(r: np.ndarray, mass: float) -> np.ndarray:
    """The partial transport as a linear programme."""
    n_x, n_y = r.shape
    sums = np.concatenate([np.kron(np.eye(n_x), np.ones(n_y)), np.kron(np.ones(n_x), np.eye(n_y))])
    found = linprog(
        (1 - r).ravel(),
        A_ub=sums,
        b_ub=np.r_[np.full(n_x, 1 / n_x), np.full(n_y, 1 / n_y)],
        A_eq=np.ones((1, r.size)),
        b_eq=[mass],
        method="highs",
    )
    return found.x.reshape(r.shape)


def oracle(x: np.ndarray, y: np.ndarray, metric: str, direction: str, fold: int) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    train, test = list(KFold(5, shuffle=True, random_state=42).split(x))[fold]
    if metric in WITHOUT_FIT:
        return globals()[metric](*(v[test][:, alive(v[test])] for v in (x, y)))
    keep_x, keep_y = alive(x[train]), alive(y[train])
    a, b, a_test, b_test = x[train][:, keep_x], y[train][:, keep_y], x[test][:, keep_x], y[test][:, keep_y]
    if metric == "partial_soft_matching":
        carried = plan(np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :], partial_matching.MASS)
        r = np.corrcoef(a_test.T, b_test.T)[: a.shape[1], a.shape[1] :]
        return float((carried * r).sum() / carried.sum())
    r, shares_x, shares_y = canonical(a, b, a_test, b_test)
    return float(np.average(r, weights={"cca": None, "pwcca": shares_y if direction == "x->y" else shares_x}[metric]))


def check(x: dict[str, np.ndarray], y: dict[str, np.ndarray], metrics: list[str]) -> pd.DataFrame:
    table = align(x, y, metrics=metrics)
    column = table.score.where(table.metric != "partial_soft_matching", table.score_transport)
    expected = [
        oracle(x[row.layer_x], y[row.layer_y], row.metric, row.direction, row.fold) for row in table.itertuples()
    ]
    return table.assign(gap=(column - expected).abs())


@pytest.mark.parametrize("case", ["float32", "dead units on one side", "means far above the spread"])
def test_every_measure_equals_the_obvious_way(case: str) -> None:
    x, y = CASES[case]
    x, y = {"a": x["layer0"]}, {"b": y["layer1"]}
    worst = check(x, y, FURTHER).groupby("metric").gap.max()
    assert set(worst.index) == set(FURTHER)
    assert worst.max() < 1e-6


@pytest.mark.parametrize("case", ["fewer stimuli than units", "repeated stimuli"])
def test_cka_and_rsa_equal_the_obvious_way_where_units_outnumber_or_stimuli_repeat(case: str) -> None:
    x, y = layers(1, 60, (80, 20)), layers(2, 60, (70, 30))
    if case == "repeated stimuli":
        for values in (*x.values(), *y.values()):
            values[::2] = values[0]
    for a, b in (("layer0", "layer0"), ("layer0", "layer1"), ("layer1", "layer1")):
        assert check({"a": x[a]}, {"b": y[b]}, ["cka", "rsa"]).gap.max() < 1e-6


def test_a_response_that_is_the_same_in_every_unit_correlates_with_none_and_has_no_neighbours() -> None:
    x, y = layers(1, 30, (8,))["layer0"], layers(2, 30, (8,))["layer0"]
    x[:2], y[2] = [[3.0], [0.0]], 0.0
    distances = [np.nan_to_num(pdist(v, "correlation"), nan=1.0) for v in (x, y)]
    found = correlation(*([ranks(torch.from_numpy(v))] for v in (x, y)))
    assert float(found) == pytest.approx(spearmanr(*distances).statistic, abs=1e-6)
    assert (nearest(torch.from_numpy(x))[1] == -1).all()
    assert float(overlap(*([nearest(torch.from_numpy(x))],) * 2)) == pytest.approx(29 / 30)


def test_canonical_correlations_are_those_of_scikit_learn() -> None:
    x, y = layers(1, 300, (6,))["layer0"], layers(2, 300, (4,))["layer0"]
    train, test = next(KFold(5, shuffle=True, random_state=42).split(x))
    fitted = CCA(n_components=4, scale=False, max_iter=10_000, tol=1e-14).fit(x[train], y[train])
    left, right = fitted.transform(x[test], y[test])
    expected = np.mean([np.corrcoef(i, j)[0, 1] for i, j in zip(left.T, right.T, strict=True)])
    found = align({"x": x}, {"y": y}, metrics=["cca"], directions="forward").set_index("fold").score[0]
    assert found == pytest.approx(expected, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(n_x=st.integers(2, 8), n_y=st.integers(2, 8), mass=st.floats(0.05, 1), seed=st.integers(0, 10**6))
def test_partial_transport_reaches_the_optimum_of_the_linear_programme(
    n_x: int, n_y: int, mass: float, seed: int
) -> None:
    r = np.random.default_rng(seed).uniform(-1, 1, (n_x, n_y))
    rows, columns, masses = partial_matching.transport(r, mass)
    found = np.zeros_like(r)
    np.add.at(found, (rows, columns), masses * mass)
    assert (found.sum(0) <= 1 / n_y + 1e-9).all()
    assert (found.sum(1) <= 1 / n_x + 1e-9).all()
    assert found.sum() == pytest.approx(mass)
    assert (found * r).sum() == pytest.approx((plan(r, mass) * r).sum(), abs=1e-8)


def test_a_transport_of_all_the_mass_is_soft_matching() -> None:
    r = np.random.default_rng(0).uniform(-1, 1, (5, 8))
    whole, parts = matching.transport(r), partial_matching.transport(r, 1.0)
    assert (whole[2] * r[whole[:2]]).sum() == pytest.approx((parts[2] * r[parts[:2]]).sum())


def test_partial_soft_matching_leaves_units_without_a_counterpart_unmatched() -> None:
    rng = np.random.default_rng(0)
    x = layers(1, 300, (20,))["layer0"]
    order = rng.permutation(20)
    y = x[:, order]
    x[:, :4], y[:, order < 4] = rng.normal(size=(2, 300, 4))
    table = align({"x": x}, {"y": y}, metrics=["soft_matching", "partial_soft_matching"]).groupby("metric")
    assert table.score_transport.mean()["partial_soft_matching"] == pytest.approx(1, abs=1e-9)
    assert table.score.mean()["partial_soft_matching"] == pytest.approx(1, abs=1e-9)
    assert table.score_transport.mean()["soft_matching"] < 0.95


# ---------------------------------------------------------------- invariances


def mean_score(x: np.ndarray, y: np.ndarray, metric: str) -> float:
    return float(align({"x": x}, {"y": y}, metrics=[metric], directions="forward").score.mean())


ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
SHEAR = ROTATION * np.geomspace(0.1, 10, 20)
CHANGES = {
    "order of units": lambda x: x[:, ::-1],
    "scale": lambda x: 3 * x,
    "rotation": lambda x: x @ ROTATION,
    "invertible map": lambda x: x @ SHEAR,
    "offset of each unit": lambda x: x + 4 * np.arange(20),
    "gain of each stimulus": lambda x: x * np.linspace(0.5, 2, len(x))[:, None],
    "offset of each stimulus": lambda x: x + np.linspace(-3, 3, len(x))[:, None],
}
IGNORED = {name: set(metric.ignores) for name, metric in MEASURES.items()}


@pytest.mark.parametrize("metric", FURTHER)
def test_what_a_measure_ignores_in_the_source_and_what_it_does_not(metric: str) -> None:
    x, y = layers(1, 200, (20,))["layer0"], layers(2, 200, (24,))["layer0"]
    before = mean_score(x, y, metric)
    gaps = {name: abs(mean_score(change(x), y, metric) - before) for name, change in CHANGES.items()}
    assert {name for name, gap in gaps.items() if gap < 1e-6} == IGNORED[metric]
    assert all(gap > 1e-3 for name, gap in gaps.items() if name not in IGNORED[metric])


@pytest.mark.parametrize("metric", FURTHER)
def test_a_layer_is_fully_alike_to_itself_turned_by_what_is_ignored(metric: str) -> None:
    x = layers(1, 200, (20,))["layer0"]
    turned = CHANGES["rotation" if "rotation" in IGNORED[metric] else "order of units"](x)
    assert mean_score(x, turned, metric) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("metric", ["cca", "pwcca"])
def test_canonical_correlations_that_tie_at_one_do_not_hang_on_the_last_digit(metric: str) -> None:
    x, y = layers(1, 60, (40,)), layers(2, 60, (45,))
    turned = {"layer0": x["layer0"] @ np.linalg.qr(np.random.default_rng(1).normal(size=(40, 40)))[0]}
    expected = align(x, y, metrics=[metric], directions="forward").score
    assert np.allclose(align(turned, y, metrics=[metric], directions="forward").score, expected, atol=1e-6)
    assert align(x, turned, metrics=[metric]).score.min() > 1 - 1e-6


@pytest.mark.parametrize("metric", FURTHER)
def test_stimuli_in_another_order_on_one_side_score_as_chance(metric: str) -> None:
    x, y = layers(1, 400, (10,))["layer0"], layers(2, 400, (12,))["layer0"]
    rng = np.random.default_rng(0)
    chance = np.mean([mean_score(x[rng.permutation(400)], y, metric) for _ in range(4)])
    assert chance == pytest.approx(10 / 79 if metric == "mutual_knn" else 0, abs=0.05)
    assert mean_score(x, y, metric) > chance + 0.06


def test_unbiased_cka_of_independent_data_is_zero_where_units_outnumber_stimuli() -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(200, 2, 20, 300, dtype=torch.float64, generator=generator)
    assert abs(np.mean([float(similarity([kernel(a)], [kernel(b)])) for a, b in data])) < 0.02
