"""Chance: draws equal the obvious way, and the statistics keep what they promise on data with a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from convergence import align
from convergence.alignment.chance import null as nulls
from convergence.alignment.folds import assign
from convergence.alignment.score import COLUMNS
from convergence.system.errors import UserError
from tests.support.layers import KEYS, SCORES, layers, reordered, turned, with_dead


def chance(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of one null, without those of single draws."""
    return table[(table.null == kind) & table.draw.isna()]


# ---------------------------------------------------------------- the obvious way

CASES = {
    "equal and unequal widths": (layers(1, 120, (12, 20)), layers(2, 120, (12, 15)), 0),
    "dead units": (with_dead(layers(1, 120, (12, 20)), 3.3), with_dead(layers(2, 120, (12, 15)), 0), 3),
    "fewer stimuli than units": (layers(1, 40, (40, 64)), layers(2, 40, (40, 48)), 0),
    "folds of unequal sizes, of fewer stimuli than units": (layers(1, 43, (40, 64)), layers(2, 43, (40, 48)), 0),
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


def test_the_columns_are_appended_and_the_observed_rows_stay_as_they_are() -> None:
    x, y, _ = CASES["equal and unequal widths"]
    plain, table = align(x, y), align(x, y, null="both", draws=19)
    assert list(table.columns) == [*COLUMNS, "null", "draw", "draws", *VALUES]
    observed = table[table.null.isna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(observed[COLUMNS], plain, check_dtype=False)
    summary = table[table.null.notna()]
    assert summary.draw.isna().all()
    assert (summary.draws == 19).all()
    means = plain.groupby(KEYS).score.mean()
    assert np.allclose(summary.score, means.loc[pd.MultiIndex.from_frame(summary[KEYS])])
    # Against a rotation only the metrics that it changes have a row.
    assert set(summary[summary.null == "rotation"].metric) == {"permutation", "soft_matching"}
    assert set(summary[summary.null == "shuffle"].metric) == set(plain.metric)


VALUES = ["p_value", "p_value_max", "null_quantile", "score_calibrated"]


def test_the_statistics_follow_from_the_draws_that_are_kept() -> None:
    x, y = layers(1, 60, (5, 6)), layers(2, 60, (5, 6))
    x = {name: values + 3 * np.random.default_rng(9).normal(size=values.shape) for name, values in x.items()}
    table = align(x, y, null="shuffle", draws=39, alpha=0.1, keep_draws=True)
    draws = table[table.draw.notna()]
    for row in chance(table, "shuffle").itertuples():
        of_metric = draws[(draws.metric == row.metric) & (draws.direction == row.direction)]
        own = of_metric[(of_metric.layer_x == row.layer_x) & (of_metric.layer_y == row.layer_y)].score
        assert len(own) == 39
        assert row.p_value == (1 + (own >= row.score).sum()) / 40
        assert row.null_quantile == np.quantile(own, 0.9, method="higher")
        assert row.score_calibrated == pytest.approx(
            max((row.score - row.null_quantile) / (1 - row.null_quantile), 0), abs=1e-12
        )
        end = "layer_y" if row.direction == "x->y" else "layer_x"
        highest = of_metric[of_metric[end] == getattr(row, end)].groupby("draw").score.max()
        assert row.p_value_max == (1 + (highest >= row.score).sum()) / 40


# ---------------------------------------------------------------- what a draw is


def test_shuffles_keep_every_stimulus_in_its_fold_and_differ_between_draws_and_seeds() -> None:
    fold = assign(103, 5)
    orders = [nulls.permutation(fold, seed, draw) for seed, draw in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(103))
        assert torch.equal(fold[order], fold)
        assert (order == torch.arange(103)).float().mean() < 0.2
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_all_orders_within_a_fold_are_equally_likely() -> None:
    fold = torch.tensor([0, 0, 0, 1])
    found = pd.Series([tuple(nulls.permutation(fold, 0, draw).tolist()) for draw in range(600)]).value_counts()
    assert len(found) == 6
    assert stats.chisquare(found).pvalue > 0.01


def test_rotations_are_orthogonal_and_uniform() -> None:
    made = np.stack([nulls.orthogonal(4, 0, draw).numpy() for draw in range(800)])
    assert np.allclose(made @ made.transpose(0, 2, 1), np.eye(4), atol=1e-12)
    # Under Haar's measure q² is Beta(1/2, (n - 1)/2), and the determinant is as often 1 as -1 (scipy's own: the same).
    assert stats.kstest(made[:, 0, 0] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 0.01
    assert stats.kstest(made[:, 2, 3], stats.ortho_group(4).rvs(800, random_state=1)[:, 1, 0]).pvalue > 0.01
    assert abs(np.linalg.det(made).mean()) < 0.1


@pytest.mark.parametrize(("draws", "alpha"), [(19, 0.05), (200, 0.05), (99, 0.1), (7, 0.4)])
def test_exactly_the_scores_above_tau_have_a_p_value_of_at_most_alpha(draws: int, alpha: float) -> None:
    null = np.random.default_rng(0).normal(size=(draws, 1))
    scores = np.linspace(-4, 4, 401)
    tau = nulls.quantile(null, alpha)
    assert ((nulls.p_value(scores, null) <= alpha) == (scores > tau)).all()


def test_the_numbers_do_not_depend_on_chunks_threads_tiles_or_how_many_draws_there_are() -> None:
    x, y = layers(1, 150, (12, 20, 12)), layers(2, 150, (12, 15, 12))
    options = {"null": "both", "alpha": 0.5, "keep_draws": True}
    expected = align(x, y, draws=8, **options)
    threads = torch.get_num_threads()
    runs = [align(x, y, draws=8, chunk=37, **options), align(x, y, draws=8, memory_gb=0.0006, **options)]
    torch.set_num_threads(1)
    runs.append(align(x, y, draws=8, **options))
    torch.set_num_threads(threads)
    for run in runs:
        pd.testing.assert_frame_equal(run, expected, atol=1e-9, rtol=0)
    kept = ["draw", "null", *KEYS]
    fewer = align(x, y, draws=5, **options)
    fewer = fewer[fewer.draw.notna()].set_index(kept).score
    assert np.allclose(fewer, expected[expected.draw.notna()].set_index(kept).score.loc[fewer.index], atol=1e-9)


@pytest.mark.parametrize("units", [3, 36])  # fewer than the 32 samples of a fold, and more
def test_samples_of_one_stimulus_stay_together(units: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, units, 2, 2)), rng.normal(size=(40, units, 2, 2))
    table = align(
        {"a": x}, {"b": y}, units="samples", metrics=["procrustes"], null="shuffle", draws=3, alpha=0.5, keep_draws=True
    )
    order = nulls.permutation(assign(40), 0, 1).numpy()
    expected = (
        align({"a": x[order]}, {"b": y}, units="samples", metrics=["procrustes"]).groupby("direction").score.mean()
    )
    assert np.allclose(table[table.draw == 1].set_index("direction").score, expected)


# ---------------------------------------------------------------- the statistics keep their promises


def independent(count: int, stimuli: int, units: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"layer{i}": rng.normal(size=(stimuli, units)) for i in range(count)}


def uniform(p: pd.Series, draws: int) -> float:
    """P-value of Kolmogorov and Smirnov; a rank is spread over its step, or the test would be blind to the middle."""
    spread = p.to_numpy(float) - np.random.default_rng(0).uniform(size=len(p)) / (1 + draws)
    return float(stats.kstest(spread, "uniform").pvalue)


def test_p_values_of_shuffle_are_uniform_where_nothing_is_shared() -> None:
    x, y = independent(100, 40, 4, 1), independent(100, 40, 4, 2)
    for values in x.values():
        values[:, 0] += np.sin(np.arange(40) / 3)  # what all layers of one side share is not shared by both
    table = chance(align(x, y, pairs="matched", directions="forward", null="shuffle", draws=39), "shuffle")
    for metric, rows in table.groupby("metric"):
        assert len(rows) == 100
        assert uniform(rows.p_value, 39) > 0.01, metric


def test_p_values_of_rotation_are_uniform_where_no_basis_is_privileged() -> None:
    shared = np.random.default_rng(0).laplace(size=(60, 5))
    rng = np.random.default_rng(1)
    x = {f"layer{i}": shared @ rng.normal(size=(5, 5)) for i in range(120)}
    y = {f"layer{i}": shared @ rng.normal(size=(5, 5)) for i in range(120)}
    table = align(x, y, pairs="matched", null="rotation", metrics=["soft_matching"], draws=39)
    for _, rows in chance(table, "rotation").groupby("direction"):
        assert uniform(rows.p_value, 39) > 0.01


@pytest.mark.parametrize("units", [4, 20, 40, 120])
def test_calibrated_scores_of_independent_data_are_zero_at_every_ratio_of_units_to_stimuli(units: int) -> None:
    x, y = independent(5, 40, units, 1), independent(5, 40, units, 2)
    table = align(x, y, pairs="matched", null="shuffle", draws=39)
    rows = chance(table, "shuffle")
    # One in twenty exceeds τ, by its definition, and not by much.
    assert (rows.score_calibrated == 0).mean() > 0.8
    assert rows.score_calibrated.mean() < 0.01


def test_a_planted_permutation_is_found_and_a_planted_rotation_is_not_called_privileged() -> None:
    x = layers(1, 200, (16,))
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(200, 16)) / 2
    planted = {
        "permuted": x["layer0"][:, rng.permutation(16)],
        "rotated": x["layer0"] @ stats.ortho_group(16).rvs(random_state=5),
    }
    y = {name: values + noise for name, values in planted.items()}
    table = align(x, y, null="both", draws=99, metrics=["procrustes", "permutation", "soft_matching"])
    p = table[table.null.notna()].groupby(["null", "layer_y", "metric"]).p_value.agg(["min", "max"])
    assert (p.loc["shuffle", "max"] == 0.01).all()
    assert (p.loc["rotation"].loc["permuted", "max"] == 0.01).all()
    assert (p.loc["rotation"].loc["rotated", "min"] > 0.1).all()
    gained = chance(table, "rotation").set_index(["layer_y", "metric", "direction"]).score_calibrated
    assert (gained.loc["permuted"] > 0.3).all()
    assert (gained.loc["rotated"] == 0).all()


def test_the_maximum_over_layers_is_held_to_its_own_null() -> None:
    x, y = independent(5, 40, 4, 1), independent(90, 40, 4, 2)
    table = align(x, y, directions="forward", null="shuffle", draws=39, metrics=["permutation"])
    least = chance(table, "shuffle").groupby("layer_y")[["p_value", "p_value_max"]].min()
    # Some source of five looks significant by itself for one target in five; held to the maximum, for one in twenty.
    assert (least.p_value <= 0.05).mean() > 0.12
    assert (least.p_value_max <= 0.05).mean() < 0.1
    assert uniform(least.p_value_max, 39) > 0.01


def test_where_there_is_nothing_to_score_there_is_no_p_value() -> None:
    x, y = layers(1, 60, (4,)), {"layer0": np.ones((60, 4))}
    rows = chance(align(x, y, null="both", draws=19), "shuffle").set_index(["direction", "metric"])[VALUES]
    assert rows.loc["x->y"].isna().all(axis=None)
    fitted = rows.loc["y->x"].loc[["linear", "procrustes"]]
    assert (fitted.p_value == 1).all()
    assert (fitted.score_calibrated == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"null": "bootstrap"}, "null='bootstrap' is not known: choose from none, shuffle, rotation, both"),
        ({"null": "shuffle", "draws": 18}, "draws=18 can give no p-value below 1/19, and alpha=0.05: ask for 19 draws"),
        ({"null": "shuffle", "alpha": 1.5}, "alpha=1.5 is no probability"),
        ({"null": "shuffle", "memory_gb": 1e-5}, "raise it, or keep fewer units"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        align(layers(1, 60, (6,)), layers(2, 60, (6,)), **arguments)


def test_a_null_that_leaves_no_row_says_so(caplog: pytest.LogCaptureFixture) -> None:
    x = {"a": np.random.default_rng(0).standard_normal((40, 4))}
    found = align(x, x, metrics=("linear", "cka"), null="rotation", draws=19, folds=4)
    assert found.null.isna().all()
    assert "null=rotation changes no score of linear, cka, which ignore a rotation" in caplog.text
    align(x, x, metrics=("linear",), null="rotation", draws=19, folds=4)
    assert "null=rotation changes no score of linear, which ignores a rotation" in caplog.text
    assert set(align(x, x, metrics=("linear", "cka"), null="both", draws=19, folds=4).null.dropna()) == {"shuffle"}
