"""Layers with more units than stimuli: the Gram side gives the moment side's scores, and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence import align
from convergence.activations.cache import Entry, Joined
from convergence.alignment import gram_side as wide
from convergence.alignment.score import COLUMNS, score
from convergence.system.errors import UserError
from tests.support.reference import score_pair

METRICS = ("linear", "procrustes")
SIZES = ["units_x", "units_y", "dead_x", "dead_y", "n_train", "n_test"]


def layer(seed: int, stimuli: int, units: int, level: float = 0.0, dead: int = 0) -> np.ndarray:
    shared = np.random.default_rng(0).normal(size=(stimuli, 6))
    rng = np.random.default_rng(seed)
    made = np.tanh(shared @ rng.normal(size=(6, units))) + 0.4 * rng.normal(size=(stimuli, units)) + level
    made[:, :dead] = 7.0
    made[0, dead : 2 * dead] += 5.0  # alive, and
    made[1:, dead : 2 * dead] = 1.0  # constant but for one stimulus
    return made


def both_sides(x: dict, y: dict, monkeypatch: pytest.MonkeyPatch, **options: object) -> tuple[pd.DataFrame, ...]:
    by_gram = align(x, y, metrics=METRICS, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(wide, "applies", lambda *_: False)
    return by_gram, align(x, y, metrics=METRICS, **options)  # type: ignore[arg-type]


def assert_same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    assert list(a.columns) == COLUMNS
    keys = ["layer_x", "layer_y", "metric", "direction", "fold", *SIZES]
    pd.testing.assert_frame_equal(a[keys], b[keys])
    assert np.allclose(np.log(a.penalty), np.log(b.penalty), equal_nan=True)
    for column in ("score", "score_global"):
        assert np.allclose(a[column], b[column], atol=1e-9), column


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
def test_the_gram_side_gives_the_scores_of_the_moment_side(
    x: dict[str, np.ndarray], y: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(*both_sides(x, y, monkeypatch))


@settings(max_examples=15, deadline=None)
@given(
    stimuli=st.integers(10, 40),
    units=st.tuples(st.integers(2, 90), st.integers(2, 90)),
    folds=st.integers(2, 5),
    directions=st.sampled_from(["both", "forward", "backward"]),
)
def test_both_sides_agree_at_any_size(stimuli: int, units: tuple[int, int], folds: int, directions: str) -> None:
    x, y = {"a": layer(1, stimuli, units[0])}, {"b": layer(2, stimuli, units[1])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wide, "applies", lambda *_: True)
        by_gram = align(x, y, metrics=METRICS, folds=folds, directions=directions)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wide, "applies", lambda *_: False)
        assert_same(by_gram, align(x, y, metrics=METRICS, folds=folds, directions=directions))  # type: ignore[arg-type]


def test_the_gram_side_equals_the_obvious_way() -> None:
    x, y = layer(1, 50, 120), layer(2, 50, 80)
    for row in align({"a": x}, {"b": y}, metrics=METRICS).itertuples():
        expected = score_pair(x, y, row.metric, row.direction, row.fold, row.penalty)
        assert row.score == pytest.approx(expected["score"], abs=1e-6)
        assert row.score_global == pytest.approx(expected["score_global"], abs=1e-6)


def test_tiles_and_blocks_of_units_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = {f"a{i}": layer(i, 40, 70 + i) for i in range(3)}
    y = {f"b{i}": layer(9 + i, 40, 60 + i) for i in range(3)}
    whole = align(x, y, metrics=METRICS)
    one_pair = wide.cost([("a0", "b0")], 40, 4) / 2**30
    assert_same(align(x, y, metrics=METRICS, memory_gb=one_pair * 1.5), whole)


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


def test_memory_follows_the_stimuli_and_not_the_units() -> None:
    x, y = ({n: layer(i, 20, 20_000).astype(np.float32)} for i, n in enumerate("ab"))
    align(x, y, metrics=METRICS, memory_gb=0.01)  # XᵀX alone would take 3 GiB
    with pytest.raises(
        UserError, match=r"20,000 × 20,000 units\) takes .* GiB, more than memory_gb=0.01.*linear and proc"
    ):
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
