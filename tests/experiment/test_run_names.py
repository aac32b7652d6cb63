"""A run's folder is named by what its numbers come from, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.experiment.compose import compose
from convergence.experiment.folder import run_folder, run_hash
from tests.support.folders import words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["metric.names=[linear,procrustes]"], ["metric.names=[procrustes,linear]"]),
        (["dataset.download=true"], ["dataset.download=false"]),
        (["dataset.on_error=stop"], ["dataset.on_error=skip"]),
        (["model.layers=[conv1,fc]"], ["model.layers=[fc,conv1,fc]"]),
        (["dataset.levels=all"], ["dataset.levels=benchmark"]),  # of axis=ood alone
        (["axis=ood", "dataset.conditions=[colour,edge]"], ["axis=ood", "dataset.conditions=[edge,colour]"]),
        (["axis=ood", "axis.protocols=[refit,transfer]"], ["axis=ood", "axis.protocols=[transfer,refit]"]),
        (["model.seeds.init=[0,1]"], ["model.seeds={init: [0,1], order: [0,1]}"]),
        (["model.seeds={init: [3], order: [0,1]}"], ["model.seeds={init: [3,3], order: [0,1]}"]),
    ],
    ids=str,
)
def test_options_that_change_no_number_share_a_run(one: list[str], other: list[str]) -> None:
    base = ["dataset=image_folder", "dataset.root=images", "model=tiny_resnet", "axis=depth"]
    assert run_hash(compose([*base, *one])) == run_hash(compose([*base, *other]))


def test_a_relative_folder_is_another_one_in_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, tables = [], set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        folders.append(run_folder(compose(words("images", tmp_path / "out"))))
        assert folders[-1] == run_folder(compose(words(tmp_path / name / "images", tmp_path / "out")))
        tables.add(run_folder(compose([*words("null", tmp_path / "out"), "dataset.table=images.csv"])))
    assert folders[0] != folders[1]
    assert len(tables) == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_folder(compose(words("'~/b/images'", tmp_path / "out"))) == folders[1]


def test_options_that_change_no_number_do_not_change_the_run() -> None:
    base = run_hash(compose())
    assert run_hash(compose(["device=cpu", "batch_size=3", "workers=2", "output=elsewhere", "memory_gb=9"])) == base
    assert run_hash(compose(["null.draws=999", "null.seed=3"])) == base  # of no null
    assert run_hash(compose(["null=shuffle"])) != base
    assert run_hash(compose(["metric.folds=4"])) != base
    assert run_hash(compose(["dataset.seed=1"])) != base
