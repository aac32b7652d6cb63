"""Layers with more units than stimuli: the Gram side gives the moment side's scores, and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence import align
from convergence.activations.cache import Entry, Joined
from convergence.alignment.arrays import Arrays
from convergence.alignment.score import score, transfer
from convergence.system.errors import UserError
from tests.support.reference import score_pair

METRICS = ("linear", "procrustes")
VALUES = ["score", "score_global", "penalty", "p_value", "p_value_max", "null_quantile", "score_calibrated"]


def layer(seed: int, stimuli: int, units: int, level: float = 0.0, dead: int = 0) -> np.ndarray:
    shared = np.random.default_rng(0).normal(size=(stimuli, 6))
    rng = np.random.default_rng(seed)
    made = np.tanh(shared @ rng.normal(size=(6, units))) + 0.4 * rng.normal(size=(stimuli, units)) + level
    made[:, :dead] = 7.0
    made[0, dead : 2 * dead] += 5.0  # alive, and
    made[1:, dead : 2 * dead] = 1.0  # constant but for one stimulus
    return made


def by_moments(x: dict, y: dict, **options: object) -> pd.DataFrame:
    """The same metrics where another one, that needs all correlations, keeps the pair from the Gram side."""
    table = align(x, y, metrics=[*METRICS, "cca"], **options)  # type: ignore[arg-type]
    return table[table.metric != "cca"].reset_index(drop=True)


def assert_same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    assert list(a.columns) == list(b.columns)
    keys = [name for name in a.columns if name not in VALUES]
    pd.testing.assert_frame_equal(a[keys], b[keys], check_dtype=False)
    assert np.allclose(np.log(a.penalty), np.log(b.penalty), equal_nan=True)
    for column in set(VALUES) & set(a.columns):
        assert np.allclose(a[column], b[column], atol=1e-9, equal_nan=True), column


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ({"a": layer(1, 60, 200)}, {"b": layer(2, 60, 150)}),
        ({"a": layer(1, 60, 200)}, {"b": layer(2, 60, 20), "c": layer(3, 60, 61)}),
        ({"a": layer(1, 60, 30), "d": layer(4, 60, 90)}, {"b": layer(2, 60, 99)}),
        ({"a": layer(1, 60, 200, level=1e4)}, {"b": layer(2, 60, 150, level=-1e4)}),
        ({"a": layer(1, 60, 200, dead=20)}, {"b": layer(2, 60, 150, dead=30)}),
        ({"a": layer(1, 60, 200).astype(np.float32)}, {"b": layer(2, 60, 150).astype(np.float16)}),
    ],
    ids=["both wide", "one narrow", "narrow with wide", "far from zero", "dead units", "float32 and float16"],
)
@pytest.mark.parametrize("options", [{}, {"null": "shuffle", "draws": 4, "alpha": 0.2, "keep_draws": True}])
def test_the_gram_side_gives_the_scores_of_the_moment_side(
    x: dict[str, np.ndarray], y: dict[str, np.ndarray], options: dict
) -> None:
    assert_same(align(x, y, metrics=METRICS, **options), by_moments(x, y, **options))


def test_maps_fitted_by_gram_matrices_are_scored_on_other_stimuli_as_those_from_moments() -> None:
    pairs, seeds = [("a", "a")], ((1, 200), (2, 150), (3, 200), (4, 150), (5, 200), (6, 150))
    x, y, *others = (Arrays({"a": layer(seed, 60, units, dead=9)}, "x") for seed, units in seeds)
    sets = list(zip(others[::2], others[1::2], strict=True))
    found = transfer(x, y, sets, pairs, metrics=METRICS)
    expected = transfer(x, y, sets, pairs, metrics=[*METRICS, "cca"])
    assert len(found) == 2
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b[b.metric != "cca"].reset_index(drop=True))


@settings(max_examples=15, deadline=None)
@given(
    stimuli=st.integers(10, 40),
    units=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    folds=st.integers(2, 5),
    directions=st.sampled_from(["both", "forward", "backward"]),
)
def test_both_sides_agree_at_any_size(stimuli: int, units: tuple[int, int], folds: int, directions: str) -> None:
    x, y = {"a": layer(1, stimuli, units[0])}, {"b": layer(2, stimuli, units[1])}
    options = {"folds": folds, "directions": directions}
    assert_same(align(x, y, metrics=METRICS, **options), by_moments(x, y, **options))  # type: ignore[arg-type]


def test_the_gram_side_equals_the_obvious_way() -> None:
    x, y = layer(1, 50, 120), layer(2, 50, 80)
    for row in align({"a": x}, {"b": y}, metrics=METRICS).itertuples():
        expected = score_pair(x, y, row.metric, row.direction, row.fold, row.penalty)
        assert row.score == pytest.approx(expected["score"], abs=1e-6)
        assert row.score_global == pytest.approx(expected["score_global"], abs=1e-6)


@pytest.mark.parametrize("null", ["none", "shuffle"])
def test_tiles_and_blocks_of_units_change_nothing(null: str) -> None:
    x = {f"a{i}": layer(i, 40, 70 + i) for i in range(3)}
    y = {f"b{i}": layer(9 + i, 40, 60 + i) for i in range(3)}
    options = {"metrics": METRICS, "null": null, "draws": 6, "alpha": 0.2}
    assert_same(align(x, y, memory_gb=5e-4, **options), align(x, y, **options))


def test_the_cache_is_read_by_columns(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import torch

    values = {"a": torch.from_numpy(layer(1, 30, 50)).float(), "b": torch.from_numpy(layer(2, 30, 45)).float()}
    entry = Entry(tmp_path / "entry")
    for start in (0, 12, 24):
        entry.write_chunk(start, {n: v[start : start + 12] for n, v in values.items()})
    entry.finish([0, 12, 24], ["a", "b"], [str(i) for i in range(30)], torch.zeros(30), about={})
    found = entry.open()
    assert found is not None
    assert torch.equal(found.columns("a", 7, 21), values["a"][:, 7:21])
    sides = [Joined([found], {n: (0, n)}) for n in ("a", "b")]
    table = score(*sides, [("a", "b")], metrics=METRICS)
    assert_same(table, align({"a": values["a"]}, {"b": values["b"]}, metrics=METRICS))


def test_memory_follows_the_stimuli_and_not_the_units_with_a_null_too() -> None:
    x, y = ({n: layer(i, 20, 20_000).astype(np.float32)} for i, n in enumerate("ab"))
    align(x, y, metrics=METRICS, memory_gb=0.01, null="shuffle", draws=19)  # XᵀX alone would take 3 GiB
    with pytest.raises(UserError, match=r"20,000 × 20,000 units\) takes .* GiB, more than memory_gb=0.01: raise it"):
        align(x, y, memory_gb=0.01)


def test_gram_matrices_that_do_not_fit_are_refused_with_their_size() -> None:
    x, y = ({n: layer(i, 400, 500)} for i, n in enumerate("ab"))
    with pytest.raises(
        UserError, match=r"a × b have more units than the 400 stimuli, .* take 0.0 GiB, more than memory"
    ):
        align(x, y, metrics=METRICS, memory_gb=0.01)


def test_a_response_that_is_not_finite_is_named() -> None:
    x, y = ({n: layer(i, 20, 50)} for i, n in enumerate("ab"))
    y["b"][13, 40] = np.nan
    with pytest.raises(UserError, match="layer 'b' has a NaN or infinite response at row 13"):
        align(x, y, metrics=METRICS)
