"""The further measures' rows, in the contract of all metrics, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergence import align
from convergence.alignment.arrays import Arrays
from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.alignment.score import COLUMNS, transfer
from convergence.experiment.compose import compose
from convergence.figures.style import look
from convergence.system import notes
from convergence.system.errors import UserError
from tests.support.layers import KEYS, SCORES, layers, reordered, turned

FURTHER = [m for m in MEASURES if m not in METRICS]
WITHOUT_FIT = [m for m in MEASURES if not MEASURES[m].fitted]
SYMMETRIC = [m for m in MEASURES if MEASURES[m].symmetric]

OTHER_MEANINGS = {("linear", "options.py")}  # a learning rate's schedule


def test_every_measure_gives_the_rows_of_the_contract_in_the_order_of_the_catalogue() -> None:
    x, y = layers(1, 100, (6, 8)), layers(2, 100, (8,))
    y["layer0"][:, 0] = 2.5
    table = align(x, y, metrics=list(MEASURES)[::-1])
    assert list(table.columns) == COLUMNS
    assert list(table[table.layer_x == "layer1"].metric.unique()) == list(MEASURES)
    assert set(table[table.layer_x == "layer0"].metric) == set(MEASURES) - {"permutation"}
    assert (table.groupby(["layer_x", "metric"]).size() == 10).all()
    assert set(table.n_train) == {80}
    assert set(table.dead_y) == {1}
    maps = table.metric.isin([*METRICS, "partial_soft_matching"])
    assert table.score_global.notna().equals(maps)
    assert table.score_transport.notna().equals(table.metric.str.contains("matching|permutation"))


@pytest.mark.parametrize("metric", SYMMETRIC)
def test_symmetric_measures_stand_in_both_directions_with_one_score(metric: str) -> None:
    x, y = layers(1, 100, (9,)), layers(2, 100, (12,))
    table = align(x, y, metrics=[metric]).set_index(["direction", "fold"])
    assert np.allclose(table.loc["x->y"].score, table.loc["y->x"].score, atol=1e-12)
    swapped = align(y, x, metrics=[metric]).set_index(["direction", "fold"])
    assert np.allclose(table.loc["x->y"].score, swapped.loc["x->y"].score, atol=1e-9)
    assert set(align(x, y, metrics=[metric], directions="backward").direction) == {"y->x"}


def test_the_numbers_of_the_further_measures_do_not_depend_on_chunks_or_tiles() -> None:
    x, y = layers(1, 100, (9, 12)), layers(2, 100, (12, 20))
    keys = ["layer_x", "layer_y", "metric", "direction", "fold"]
    expected = align(x, y, metrics=FURTHER).set_index(keys)
    for run in (align(x, y, metrics=FURTHER, chunk=7), align(x, y, metrics=FURTHER, memory_gb=0.0001)):
        assert list(run.columns) == COLUMNS
        assert run.set_index(keys).index.equals(expected.index)
        assert np.allclose(run.set_index(keys).score, expected.score, atol=1e-9)


def test_measures_without_a_fit_are_read_off_the_other_stimuli_under_transfer() -> None:
    x, y, far_x, far_y = ({"a": layers(seed, 100, (8,))["layer0"]} for seed in range(1, 5))
    sides = [Arrays(values, side) for values, side in ((x, "x"), (y, "y"), (far_x, "x"), (far_y, "y"))]
    (found,) = transfer(*sides[:2], [tuple(sides[2:])], [("a", "a")], metrics=list(MEASURES))
    assert list(found.metric.unique()) == list(MEASURES)
    expected = align(far_x, far_y, metrics=WITHOUT_FIT)
    pd.testing.assert_frame_equal(found[found.metric.isin(WITHOUT_FIT)].reset_index(drop=True), expected)


def test_a_draw_of_shuffle_is_the_score_of_reordered_stimuli() -> None:
    x, y = layers(1, 100, (9, 12)), layers(2, 100, (12,))
    table = align(x, y, metrics=FURTHER, null="shuffle", draws=2, alpha=0.5, keep_draws=True)
    for draw in range(2):
        expected = align(reordered(x, draw), y, metrics=FURTHER).groupby(KEYS)[SCORES].mean()
        found = table[table.draw == draw].set_index(KEYS)[SCORES]
        pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index(), atol=1e-6, rtol=0)


def test_a_rotation_is_a_null_of_partial_soft_matching_alone() -> None:
    x, y = layers(1, 100, (9,)), layers(2, 100, (12,))
    table = align(x, y, metrics=FURTHER, null="rotation", draws=1, alpha=0.5, keep_draws=True)
    assert set(table[table.null == "rotation"].metric) == {"partial_soft_matching"}
    for direction, sides in (("x->y", (turned(x, 0), y)), ("y->x", (x, turned(y, 0)))):
        expected = align(*sides, metrics=["partial_soft_matching"]).groupby(KEYS)[SCORES].mean()
        found = table[(table.draw == 0) & (table.direction == direction)].set_index(KEYS)[SCORES]
        assert np.allclose(found, expected.xs(direction, level="direction"), atol=1e-6)


def test_dead_layers_have_no_score_and_harm_no_other() -> None:
    x = {"dead": np.ones((100, 5)), "alive": layers(1, 100, (6,))["layer0"]}
    table = align(x, layers(2, 100, (6,)), metrics=FURTHER).groupby(["layer_x", "metric"]).score.mean()
    assert table["dead"].drop("mutual_knn").isna().all()
    assert table["dead"]["mutual_knn"] == 0
    assert table["alive"].notna().all()


@pytest.mark.parametrize(
    ("metric", "stimuli", "units", "message"),
    [
        ("cka", 15, "center", "cka needs at least 4 stimuli in a fold, and 15 stimuli in 5 folds leave 3"),
        ("mutual_knn", 55, "center", "mutual_knn needs at least 12 stimuli in a fold"),
        ("rsa", 60, "samples", "rsa can't compare stimuli that have several samples each: use units=center"),
    ],
)
def test_stimuli_that_a_measure_cannot_use_are_refused(metric: str, stimuli: int, units: str, message: str) -> None:
    x = {"a": np.random.default_rng(0).normal(size=(stimuli, 3, 2, 2))}
    with pytest.raises(UserError, match=message):
        align(x, x, metrics=[metric], units=units)


def test_cka_takes_every_position_as_a_sample_and_a_non_finite_response_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    x = {"a": np.random.default_rng(0).normal(size=(60, 3, 2, 2))}
    notes.said.clear()
    table = align(x, x, metrics=["cka", "rsa"], units="samples")
    assert set(table.metric) == {"cka"}
    assert "rsa can't compare stimuli that have several samples each, and passes over such layers" in caplog.text
    assert set(table.n_test) == {48}
    x["a"][41, 1, 0, 0] = np.nan
    with pytest.raises(UserError, match="'a' has a NaN or infinite response at row 41"):
        align(x, x, metrics=["cka"], units="samples", chunk=25)


def test_too_little_memory_for_one_pair_is_said() -> None:
    x = layers(1, 100, (9,))
    with pytest.raises(UserError, match=r"scoring layer0 × layer0 .* more than memory_gb=1e-06: raise it"):
        align(x, x, metrics=["rsa"], memory_gb=1e-6)


def test_the_catalogue_the_command_line_and_the_figures_know_the_same_metrics() -> None:
    assert compose(["metric=extended"]).metric.names == list(MEASURES)
    assert compose().metric.names == list(METRICS)
    assert len({tuple(sorted(look(metric).items())) for metric in MEASURES}) == len(MEASURES)
    for metric in MEASURES:
        assert compose([f"metric={metric}"]).metric.names == [metric]


def test_each_metric_is_spelt_in_its_own_file_alone() -> None:
    package = Path(catalogue.__file__).parents[2]
    own = {metric: Path(catalogue.__file__).with_name(f"{metric}.py") for metric in MEASURES}
    for metric, home in own.items():
        spelt = re.compile(rf"""(["']){metric}\1""")
        places = [path for path in package.rglob("*.py") if spelt.search(path.read_text())]
        strays = [path for path in places if path != home and (metric, path.name) not in OTHER_MEANINGS]
        assert home in places
        assert not strays
