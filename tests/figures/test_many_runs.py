"""Figures and reports over many runs: what must not be averaged is drawn apart, and odd tables end in no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from convergence import figures, report
from convergence.commands.main import main
from convergence.figures.depth import profile
from convergence.results import table as results
from convergence.results.groups import comparable
from convergence.system.errors import UserError
from tests.support import synthetic
from tests.support.drafts import laid_out, left_out


@pytest.fixture
def drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    laid_out(monkeypatch)


def depth(level: float = 0.8, **options: object) -> pd.DataFrame:
    return synthetic.depth(lambda metric, a, b: level - abs(a - b) / 2, **{"seeds": 2, "layers": 3, **options})


def one(level: float = 0.8, **options: object) -> pd.DataFrame:
    """As :func:`depth`, of one metric: which rows are drawn together doesn't depend on how many there are."""
    return depth(level, metrics=("procrustes",), **options)


def training(**options: object) -> pd.DataFrame:
    return synthetic.training((0.1, 0.5, 0.6, 0.7, 0.8), (0.1, 0.3, 0.5, 0.7, 0.8), **options)


def ood() -> pd.DataFrame:
    return synthetic.ood(lambda s, k, a: 0.1 * a, lambda s, k: 0.9 - 0.1 * s / 8, layers=3)


def pixels(rows: pd.DataFrame) -> pd.DataFrame:
    source = {"source_model": "pixels", "source_layer": "pixels", "source_step": None, "source_epoch": None}
    return rows[rows.direction == "x->y"].assign(**source)


def with_pixels(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, pixels(rows)], ignore_index=True)


def renamed(rows: pd.DataFrame, model: str, run: str) -> pd.DataFrame:
    return rows.assign(source_model=model, target_model=model, run=run)


APART: dict[str, tuple[Callable[[], pd.DataFrame], set[str]]] = {
    "data sets": (lambda: pd.concat([depth(0.2), depth(0.8).assign(dataset="e", run="s")]), {"d", "e"}),
    "data sets whose names are no folders": (
        lambda: pd.concat([one().assign(dataset="a/b ü"), one().assign(dataset="c,\td", run="s")]),
        {"a_b_ü", "c_d"},
    ),
    "architectures": (lambda: pd.concat([one(0.2), renamed(one(), "vgg", "s")]), {"net", "vgg"}),
    "numbers of stimuli": (
        lambda: pd.concat([one(0.2), one().assign(n_train=80, n_test=20, run="s")]),
        {"100", "1000"},
    ),
    "data sets, architectures and both": (
        lambda: pd.concat(
            [renamed(one().assign(dataset=d), m, d + m) for d, m in (("d", "a"), ("d", "b"), ("e", "a"))]
        ),
        {"d-a", "d-b", "e-a"},
    ),
    "a pair across architectures beside one within": (
        lambda: pd.concat([one(), one(models=("net", "vgg")).assign(run="s")]),
        {"net", "net+vgg"},
    ),
    "one run": (one, {""}),
    "two runs of one kind": (lambda: pd.concat([one(), one().assign(run="s")]), {""}),
    "training with its pixels": (lambda: with_pixels(training()), {""}),
}


@pytest.mark.parametrize("what", APART)
def test_what_must_not_be_averaged_is_drawn_apart(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_out(monkeypatch)
    made, names = APART[what]
    table = made().reset_index(drop=True)
    assert set(comparable(table)) == names
    paths = figures.draw(table, tmp_path)
    assert {path.parent for path in paths} == {tmp_path / name for name in names}


def test_a_line_over_two_data_sets_is_never_drawn(tmp_path: Path) -> None:
    table = pd.concat([depth(0.2, noise=0, slopes=0), depth(0.8, noise=0, slopes=0).assign(dataset="e", run="s")])
    means = {name: profile(rows)[0]["mean"] for name, rows in comparable(table.reset_index(drop=True)).items()}
    np.testing.assert_allclose(means["d"], 0.2)
    np.testing.assert_allclose(means["e"], 0.8)


def test_pixels_stay_with_the_networks_that_they_are_compared_with() -> None:
    table = pd.concat([with_pixels(training()), renamed(training(), "vgg", "s")]).reset_index(drop=True)
    groups = comparable(table)
    assert (groups["net"].source_model == "pixels").any()
    assert not (groups["vgg"].source_model == "pixels").any()


ODD: dict[str, Callable[[], pd.DataFrame]] = {
    "pixels alone": lambda: pixels(training()),
    "a population of training runs with runs of pixels alone": lambda: pd.concat(
        [training().assign(run="pair"), pixels(training()).assign(run="baseline")]
    ),
    "one point of training": lambda: training().query("source_epoch == 10"),
    "never two networks at one point": lambda: training().assign(target_epoch=11.0, target_step=1100),
    "untrained networks alone": lambda: depth(step=0),
    "one fold": lambda: depth().query("fold == 0"),
    "one layer": lambda: depth(layers=1),
    "one metric": lambda: depth(metrics=("permutation",)),
    "all axes": lambda: pd.concat([depth(), with_pixels(training()), ood()]),
    "out of distribution without anything within": lambda: ood().query("condition != 'wd'"),
    "within distribution alone, of axis=ood": lambda: ood().query("condition == 'wd'"),
    "one shift": lambda: ood().query("condition in ['wd', 'contrast']"),
    "scores that are not there": lambda: depth().assign(score=np.nan),
    "accuracy that is not known": lambda: ood().assign(source_accuracy=np.nan, target_accuracy=np.nan),
}


@pytest.mark.usefixtures("drafts")
@pytest.mark.parametrize("what", ODD)
def test_odd_tables_give_figures_and_a_report_or_one_sentence(what: str, tmp_path: Path) -> None:
    table = ODD[what]().reset_index(drop=True)
    try:
        report.write(table, tmp_path)  # draws the figures, too
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert (tmp_path / "report.html").is_file()


@pytest.mark.usefixtures("drafts")
def test_results_of_an_older_version_are_drawn_and_reported(tmp_path: Path) -> None:
    run = tmp_path / "depth" / "old"
    run.mkdir(parents=True)
    newer = [name for name in results.SCHEMA.names if name not in results.SCHEMA.names[:40] or name == "draws"]
    table = results.conform(depth())
    pq.write_table(table.drop_columns([n for n in newer if n in {"draws", "p_value_max"}]), run / "results.parquet")
    assert main(["figure", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    assert (run / "depth_profile.png").is_file()
    assert (run / "report.html").is_file()


@pytest.mark.parametrize("command", ["figure", "report"])
def test_a_folder_without_results_is_one_sentence(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path)]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("convergence: ")
    assert said.count("\n") == 0
    assert "results.parquet" in said
