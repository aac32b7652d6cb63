"""The scores equal the obvious way, on data that break careless implementations."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from convergence import align
from convergence.alignment.folds import assign
from convergence.alignment.metrics import matching
from convergence.alignment.score import COLUMNS
from convergence.system.errors import UserError
from tests.support import reference
from tests.support.layers import CASES, SCORES, layers


@pytest.mark.parametrize("case", CASES)
def test_every_score_column_equals_the_obvious_way(case: str) -> None:
    x, y = CASES[case]
    gaps = reference.check(x, y, align(x, y))
    if case == "duplicated units":
        # Twins tie: the plan may differ, the objective may not, and scores of unequal widths follow the plan.
        soft = gaps.metric == "soft_matching"
        assert gaps[soft].score_transport.max() < 1e-5
        gaps = gaps[~soft]
    assert gaps[SCORES].max().max() < 1e-5


def test_the_penalty_is_the_minimum_of_generalised_cross_validation() -> None:
    x, y = layers(1, 150, (20,)), layers(2, 150, (25,))
    row = align(x, y, metrics=["linear"], directions="forward").iloc[0]
    train, _ = next(KFold(5, shuffle=True, random_state=42).split(x["layer0"]))
    a, b = x["layer0"][train], y["layer0"][train]
    errors = {}
    for exponent in range(-8, 9):
        model = Ridge(alpha=10.0**exponent).fit(a, b)
        centred = a - a.mean(0)
        hat = centred @ np.linalg.solve(centred.T @ centred + 10.0**exponent * np.eye(20), centred.T)
        free = len(a) - 1 - np.trace(hat)
        errors[10.0**exponent] = ((b - model.predict(a)) ** 2).sum() / free**2
    assert row.penalty == min(errors, key=errors.__getitem__)


def test_folds_are_those_of_scikit_learn() -> None:
    expected = np.empty(103, dtype=int)
    for k, (_, test) in enumerate(KFold(5, shuffle=True, random_state=42).split(np.zeros(103))):
        expected[test] = k
    assert (assign(103, 5, 42).numpy() == expected).all()


@settings(max_examples=25, deadline=None)
@given(n_x=st.integers(2, 9), n_y=st.integers(2, 9), seed=st.integers(0, 10**6))
def test_transport_reaches_the_optimum_of_the_linear_programme(n_x: int, n_y: int, seed: int) -> None:
    r = np.random.default_rng(seed).uniform(-1, 1, (n_x, n_y))
    rows, columns, masses = matching.transport(r)
    plan = np.zeros_like(r)
    np.add.at(plan, (rows, columns), masses)
    assert np.allclose(plan.sum(0), 1 / n_y)
    assert np.allclose(plan.sum(1), 1 / n_x)
    marginals = np.concatenate([np.kron(np.eye(n_x), np.ones(n_y)), np.kron(np.ones(n_x), np.eye(n_y))])
    best = linprog(-r.ravel(), A_eq=marginals, b_eq=np.r_[np.full(n_x, 1 / n_x), np.full(n_y, 1 / n_y)], method="highs")
    assert (plan * r).sum() == pytest.approx(-best.fun, abs=1e-8)


# ---------------------------------------------------------------- invariances


def mean_score(x: np.ndarray, y: np.ndarray, metric: str, column: str = "score") -> float:
    table = align({"x": x}, {"y": y}, metrics=[metric], directions="forward")
    return float(table[column].mean())


@pytest.mark.parametrize("metric", ["linear", "procrustes", "permutation", "soft_matching"])
def test_the_order_of_units_is_ignored(metric: str) -> None:
    x, y = layers(1, 200, (20,))["layer0"], layers(2, 200, (20,))["layer0"]
    shuffled = x[:, np.random.default_rng(0).permutation(20)]
    assert mean_score(shuffled, y, metric) == pytest.approx(mean_score(x, y, metric), abs=1e-9)


@pytest.mark.parametrize("metric", ["linear", "procrustes", "permutation", "soft_matching"])
def test_one_scale_for_all_units_of_the_target_and_any_offsets_are_ignored(metric: str) -> None:
    x, y = layers(1, 200, (20,))["layer0"], layers(2, 200, (20,))["layer0"]
    moved = mean_score(x + 7, 3 * y - np.arange(20), metric)
    assert moved == pytest.approx(mean_score(x, y, metric), abs=1e-6)


@pytest.mark.parametrize(("metric", "ignores"), [("linear", True), ("procrustes", True), ("permutation", False)])
def test_rotations_of_the_source_are_ignored_by_procrustes_and_linear_only(metric: str, ignores: bool) -> None:
    x = layers(1, 300, (20,))["layer0"]
    y = x[:, ::-1] + np.random.default_rng(5).normal(size=x.shape) / 4
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
    gap = abs(mean_score(x @ rotation, y, metric) - mean_score(x, y, metric))
    assert gap < 1e-9 if ignores else gap > 0.02


@pytest.mark.parametrize(("metric", "ignores"), [("linear", True), ("procrustes", False)])
def test_shears_of_the_source_are_ignored_by_linear_only(metric: str, ignores: bool) -> None:
    x, y = layers(1, 300, (10,))["layer0"], layers(2, 300, (10,))["layer0"]
    shear = np.diag(np.geomspace(0.1, 10, 10))
    gap = abs(mean_score(x @ shear, y, metric) - mean_score(x, y, metric))
    # Ridge is affine-invariant up to its penalty.
    assert gap < 0.01 if ignores else gap > 0.02


def test_a_planted_map_is_found_by_every_metric_that_allows_it() -> None:
    x = layers(1, 300, (20,))["layer0"]
    rng = np.random.default_rng(0)
    permuted, rotated = x[:, rng.permutation(20)], x @ np.linalg.qr(rng.normal(size=(20, 20)))[0]
    for metric in ("linear", "procrustes", "permutation", "soft_matching"):
        assert mean_score(x, permuted, metric) == pytest.approx(1, abs=1e-6)
    for metric in ("linear", "procrustes"):
        assert mean_score(x, rotated, metric) == pytest.approx(1, abs=1e-6)
    assert mean_score(x, rotated, "permutation") < 0.8


def test_independent_data_score_zero_held_out_even_where_they_fit_in_sample() -> None:
    rng = np.random.default_rng(3)
    table = align({"x": rng.normal(size=(100, 300))}, {"y": rng.normal(size=(100, 300))})
    assert table.groupby("metric").score.mean().abs().max() < 0.03


def test_soft_matching_equals_permutation_at_equal_widths() -> None:
    x, y = layers(1, 200, (24,)), layers(2, 200, (24,))
    table = align(x, y, metrics=["permutation", "soft_matching"]).set_index(["metric", "direction", "fold"])
    assert np.array_equal(table.loc["permutation"][SCORES], table.loc["soft_matching"][SCORES])


def test_the_global_score_of_procrustes_is_symmetric_at_equal_widths() -> None:
    x, y = layers(1, 200, (24,)), layers(2, 200, (24,))
    table = align(x, y, metrics=["procrustes"]).set_index(["direction", "fold"])
    assert np.allclose(table.loc["x->y"].score_global, table.loc["y->x"].score_global, atol=1e-9)
    assert not np.allclose(table.loc["x->y"].score, table.loc["y->x"].score, atol=1e-6)


def test_swapping_the_sides_swaps_the_directions() -> None:
    x, y = layers(1, 200, (24,)), layers(2, 200, (30,))
    there = align(x, y).set_index(["metric", "direction", "fold"]).sort_index()
    back = align(y, x).replace({"x->y": "y->x", "y->x": "x->y"}).set_index(["metric", "direction", "fold"]).sort_index()
    assert np.allclose(there[SCORES], back[SCORES], atol=1e-9, equal_nan=True)


# ---------------------------------------------------------------- the same numbers however they are computed


def test_the_numbers_do_not_depend_on_chunks_threads_tiles_or_the_order_of_layers() -> None:
    x, y = CASES["duplicated units"]
    keys = ["layer_x", "layer_y", "metric", "direction", "fold"]
    expected = align(x, y).set_index(keys).sort_index()
    threads = torch.get_num_threads()
    turned = align(dict(reversed(x.items())), dict(reversed(y.items())))
    runs = [align(x, y, chunk=1), align(x, y, chunk=37), align(x, y, memory_gb=0.0002), turned]
    torch.set_num_threads(1)
    runs.append(align(x, y))
    torch.set_num_threads(threads)
    for run in runs:
        assert np.allclose(run.set_index(keys).sort_index()[SCORES], expected[SCORES], atol=1e-6, equal_nan=True)


def test_a_subset_of_metrics_pairs_or_directions_gives_the_same_rows() -> None:
    x, y = CASES["float32"]
    keys = ["layer_x", "layer_y", "metric", "direction", "fold"]
    every = align(x, y).set_index(keys)
    for part in (
        align(x, y, metrics=["procrustes"]),
        align(x, y, pairs=[("layer2", "layer0"), ("layer0", "layer2")]),
        align(x, y, pairs="matched", directions="backward"),
    ):
        part = part.set_index(keys)
        assert len(part)
        assert np.allclose(part[SCORES], every.loc[part.index][SCORES], atol=1e-9, equal_nan=True)


# ---------------------------------------------------------------- the table, and what is refused


def test_the_columns_are_those_of_the_contract() -> None:
    table = align({"a": np.random.default_rng(0).normal(size=(50, 4))}, {"b": np.ones((50, 4))})
    assert list(table.columns) == COLUMNS
    assert set(table.dead_y) == {4}
    # Nothing to predict has no score; nothing to predict from has score 0.
    assert table[table.direction == "x->y"].score.isna().all()
    fitted = table[(table.direction == "y->x") & table.metric.isin(["linear", "procrustes"])]
    assert (fitted.score == 0).all()


def test_a_unit_constant_only_in_the_held_out_fold_is_left_out_of_that_fold_and_counted() -> None:
    x, y = layers(1, 100, (6,)), layers(2, 100, (6,))
    held_out = (assign(100) == 2).numpy()
    y["layer0"][held_out, 1] = 5.0
    table = align(x, y, metrics=["linear"], directions="forward").set_index("fold")
    assert table.dead_y.to_dict() == {0: 0, 1: 0, 2: 1, 3: 0, 4: 0}
    assert table.score.notna().all()


def test_permutation_gives_no_row_at_unequal_widths_and_refuses_when_that_leaves_nothing() -> None:
    x, y = layers(1, 60, (6, 8)), layers(2, 60, (8,))
    table = align(x, y, metrics=["permutation", "procrustes"])
    assert set(table[table.metric == "permutation"].layer_x) == {"layer1"}
    with pytest.raises(UserError, match="no pair of layers has that: use soft_matching"):
        align({"a": x["layer0"]}, y, metrics=["permutation"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_response_that_is_not_finite_is_named_by_layer_and_row(bad: float) -> None:
    x, y = layers(1, 60, (6, 8)), layers(2, 60, (8,))
    x["layer1"][41, 3] = bad
    with pytest.raises(ValueError, match="'layer1' has a NaN or infinite response at row 41"):
        align(x, y, chunk=25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ["svcca"]}, "metrics='svcca' is not known: choose from linear"),
        ({"directions": "left"}, "directions='left' is not known"),
        ({"folds": 40}, "60 stimuli are too few for 40 folds"),
        ({"pairs": "matched"}, "as many layers on both sides, not 2 and 1"),
        ({"pairs": [("layer0", "layer9")]}, "layer 'layer9', which y does not have"),
        ({"device": "gpu"}, "device=gpu is not a device"),
        ({"memory_gb": 1e-6}, "raise it, or keep fewer units"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        align(layers(1, 60, (6, 8)), layers(2, 60, (8,)), **arguments)


def test_different_stimuli_are_refused() -> None:
    with pytest.raises(UserError, match="x has 60 stimuli and y has 61"):
        align(layers(1, 60, (6,)), layers(2, 61, (6,)))


def test_maps_are_reduced_to_units_and_samples_keep_stimuli_in_one_fold() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5, 4, 4)), rng.normal(size=(40, 6, 4, 4))
    assert np.allclose(align({"a": x}, {"b": y}).score, align({"a": x[..., 2, 2]}, {"b": y[..., 2, 2]}).score)
    table = align({"a": x}, {"b": y}, units="samples", metrics=["procrustes"])
    assert set(table.n_test) == {8 * 16}


def test_align_imports_only_torch_numpy_scipy_and_pandas() -> None:
    others = {"hydra", "torchvision", "timm", "matplotlib", "ot", "sklearn"}
    code = f"import sys\nfrom convergence import align\nassert align\nprint(*({others} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
