"""Metrics of one's own: functions of the responses, scored, compared with chance and refused like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from convergence import align
from convergence.alignment.arrays import Arrays
from convergence.alignment.score import transfer
from convergence.commands.main import main
from convergence.system.errors import UserError

KEYS = ["layer_x", "layer_y", "direction", "fold"]


def responses(seed: int, units: int, stimuli: int = 60) -> np.ndarray:
    shared = np.random.default_rng(0).normal(size=(stimuli, 6))
    rng = np.random.default_rng(seed)
    return shared @ rng.normal(size=(6, units)) + rng.normal(size=(stimuli, units)) / 2


def ridge(x_train: torch.Tensor, y_train: torch.Tensor, x_test: torch.Tensor, y_test: torch.Tensor) -> float:
    """The held-out score of least squares, the obvious way."""
    mean_x, mean_y = x_train.mean(0), y_train.mean(0)
    weights = torch.linalg.lstsq(x_train - mean_x, y_train - mean_y, driver="gelsd").solution
    predicted, target = (x_test - mean_x) @ weights, y_test - y_test.mean(0)
    predicted = predicted - predicted.mean(0)
    x_train.zero_()  # what a function does to its arguments is its own affair
    return float(((predicted * target).sum(0) / predicted.norm(dim=0) / target.norm(dim=0)).mean())


def dimension(x_train: torch.Tensor, y_train: torch.Tensor, x_test: torch.Tensor, y_test: torch.Tensor) -> torch.Tensor:
    """A number that only the order of the stimuli and the basis of x change."""
    return (x_test[:, 0] * y_test[:, 0]).sum()


X = {"a": responses(1, 5), "b": responses(2, 8)}
Y = {"c": responses(3, 6)}


def test_a_function_gives_rows_of_its_name_beside_the_others() -> None:
    table = align(X, Y, metrics=["linear", ridge])
    assert list(table[table.layer_x == "a"].metric.unique()) == ["linear", "ridge"]
    own, ours = (table[table.metric == name].set_index(KEYS).score for name in ("ridge", "linear"))
    assert (own - ours.loc[own.index]).abs().mean() < 0.02  # ours chooses a penalty, a small one here


def test_units_dead_in_training_are_not_shown_to_it() -> None:
    x = {"a": X["a"].copy()}
    x["a"][:, :2] = 7.0
    table = align(x, Y, metrics=lambda_of_width(), directions="forward")
    assert set(table.score) == {3.0}
    assert set(table.dead_x) == {2}


def lambda_of_width():  # type: ignore[no-untyped-def]
    return lambda x_train, y_train, x_test, y_test: x_train.shape[1]


def test_draws_of_both_nulls_reorder_its_stimuli_and_turn_its_source() -> None:
    table = align(X, Y, metrics=[dimension], null="both", draws=19, keep_draws=True)
    for kind in ("shuffle", "rotation"):
        rows = table[(table.null == kind) & table.draw.isna()]
        assert len(rows) == 4
        assert rows.p_value.between(0.05, 1).all()
        draws = table[(table.null == kind) & table.draw.notna()]
        assert (draws.groupby(KEYS[:3]).score.nunique() == 19).all()


def test_under_transfer_it_trains_on_the_data_and_is_tested_on_the_others() -> None:
    x, y, far = Arrays(X, "x"), Arrays(Y, "y"), Arrays({n: v + 100 for n, v in X.items()}, "x")
    (same, moved) = transfer(x, y, [(x, y), (far, y)], [("a", "c")], metrics=[shift])
    assert np.allclose(same.score, align({"a": X["a"]}, Y, metrics=[shift]).score)
    forward = moved.direction == "x->y"
    assert np.allclose(moved.score[forward], same.score[forward] + 100)


def shift(x_train: torch.Tensor, y_train: torch.Tensor, x_test: torch.Tensor, y_test: torch.Tensor) -> float:
    return float(x_test.mean() - x_train.mean())


FILE = """
import torch

def half(x_train, y_train, x_test, y_test):
    return 0.5 + 0.01 * float(x_test.std())

def raises(x_train, y_train, x_test, y_test):
    return x_train @ y_train

def missing(x_train, y_train, x_test, y_test):
    return float("nan")

def text(x_train, y_train, x_test, y_test):
    return "high"

def linear(x_train, y_train, x_test, y_test):
    return 1.0

def two(x, y):
    return 0.0

def ours(x_train, y_train, x_test, y_test):
    from convergence import align
    align({"a": x_train}, {"a": y_train}, metrics=["svcca"])

number = 3
"""


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("mine.py:raises", r"metric raises on a × c, fold 0: mine.py:8: RuntimeError: "),
        ("mine.py:ours", r"metric ours on a × c, fold 0: mine.py:\d+: UserError: metrics='svcca' is not known"),
        ("mine.py:missing", r"metric missing on a × c, fold 0 returned nan: it must return a finite number"),
        ("mine.py:text", r"metric text on a × c, fold 0 returned str: it must return one number"),
        ("mine.py:linear", r"two metrics are called linear; rename your own"),
        ("mine.py:number", r"mine.py:number is no function of \(x_train"),
        ("mine.py:two", r"mine.py:two is called with \(x_train, .*, and takes \(x, y\): let it take these four"),
        ("mine.py:absent", r"mine.py has no absent"),
        ("other.py:half", r"there is no file .*other.py"),
        ("svcca", r"metrics='svcca' is not known: choose from linear"),
    ],
)
def test_what_cannot_be_used_gets_one_sentence(
    metric: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        align(X, Y, metrics=["linear", metric])


def test_a_run_scores_it_and_its_figures_and_report_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    for name, layers in (("one", X), ("two", {"c": Y["c"], "d": X["b"]})):
        np.savez(tmp_path / f"{name}.npz", **layers)
    monkeypatch.chdir(tmp_path)
    words = ["model=arrays", "model.files=[one.npz,two.npz]", "metric.names=[procrustes,mine.py:half]", "null=shuffle"]
    assert main(["run", *words, "null.draws=19", "output=out"]) == 0
    (file,) = Path("out").rglob("results.parquet")
    table = pd.read_parquet(file)
    assert set(table.metric) == {"procrustes", "half"}
    assert table[table.metric == "half"].p_value.notna().any()
    assert list(file.parent.glob("*.png"))
    assert "half" in capsys.readouterr().out
    assert main(["report", "out"]) == 0
