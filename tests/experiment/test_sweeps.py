"""A population from the command line: run here, by a launcher, or only planned; and the state of its runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from convergence.commands import main as cli
from convergence.commands import refusals
from convergence.commands.words import populations
from convergence.experiment import folder as runs
from convergence.experiment import population, status
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.results import table as results
from convergence.results.plan import write_plan
from convergence.system.claims import holder, only_one
from convergence.system.errors import UserError
from convergence.system.files import write_atomic
from tests.support.command import FORKED
from tests.support.races import hold

_SMALL = [
    *("dataset=digits", "dataset.stimuli=40", "dataset.train_images=64", "metric=procrustes", "progress=false"),
    *("figures=false", "model=[{model:tiny_resnet,training:{epochs:0},layers:[conv1,fc]}]"),
]


def test_a_population_runs_pair_by_pair_and_one_that_fails_ends_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", *_SMALL, "model.seeds.init=[0,1,2]", f"output={tmp_path}"]
    units = population.units(compose(populations(words[1:])))
    broken = runs.run_folder(units[1]) / "shards"
    broken.parent.mkdir(parents=True)
    broken.touch()  # a file where a folder must be
    assert cli.main(words) == 1
    assert "1 of 3 comparisons failed (tiny_resnet seed" in capsys.readouterr().err
    assert cli.main(["status", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "2 done, 1 failed" in told
    assert "could not be written" in told
    broken.unlink()
    assert cli.main(words) == 0
    assert capsys.readouterr().err.count("nothing to do") == 2
    table = results.read([runs.run_folder(compose(populations(words[1:])))])
    assert table.groupby("run").size().tolist() == [40, 40, 40]  # 2 × 2 layers, both directions, 5 folds


@pytest.mark.slow
def test_a_sweep_by_joblib_gives_the_rows_of_one_process_and_then_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*_SMALL, "model.seeds.init=[0,1,2]", "model.per_job=2"]
    sweep = ["run", "-m", *words, f"output={tmp_path / 'sweep'}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert cli.main(sweep) == 0
    assert "3 comparisons to make, in 2 jobs." in capsys.readouterr().err
    table = results.read([next((tmp_path / "sweep" / "depth").glob("population*"))])
    here = experiment.run(compose(populations([*words, f"output={tmp_path / 'here'}"])))
    order = ["run", "source_weights", "source_layer", "target_layer", "fold"]
    a, b = (t.sort_values(order).reset_index(drop=True) for t in (table, here))
    assert a.drop(columns="score").equals(b.drop(columns="score"))
    assert (a.score - b.score).abs().max() < 1e-9
    assert cli.main(sweep) == 0
    assert "nothing to do: all comparisons are made" in capsys.readouterr().err


@pytest.mark.parametrize("launcher", ["slurm", "joblib"])
def test_a_launcher_composes_with_its_defaults(launcher: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--cfg", "hydra", f"hydra/launcher={launcher}"]) == 0
    told = capfd.readouterr()
    assert ("array_parallelism: 64" if launcher == "slurm" else "n_jobs: -1") in told.out
    assert "Warning" not in told.err


def test_a_launcher_without_its_extra_or_its_cluster_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = refusals.of_config(Exception("In 'hydra/launcher/slurm': Could not find 'hydra/launcher/submitit_slurm'"))
    assert 'install it with `pip install "convergent-learning[cluster]"`' in told
    told = str(refusals.of_launcher(RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')))
    assert "give the command on a login node" in told


@pytest.mark.parametrize("figures", [True, False])
def test_a_dry_run_prints_the_plan_and_makes_nothing(
    figures: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--dry-run", "-m", *_SMALL, "model.seeds.init=[0,1,2]", "model.per_job=2", f"output={tmp_path}"]
    assert cli.main([*words, f"figures={figures}"]) == 0
    told = capsys.readouterr().out
    assert "missing  tiny_resnet seed0 seed1" in told
    assert "0 done, 3 missing of 3 on 40 stimuli\n2 jobs" in told
    assert "at most 3 networks, 240 images to extract" in told, "each trained and untrained, once"
    assert "MiB on disk" in told
    plan = " ".join(told.split())
    assert "besides training about" in plan
    assert ("to extract and score, then the figures, a few seconds each." in plan) is figures
    assert list(tmp_path.iterdir()) == []


def test_status_tells_done_running_failed_killed_and_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "depth"
    folders = {name: place / name for name in ("done", "running", "failed", "killed", "missing")}
    write_plan(place / "population", {folder: f"pair {name}" for name, folder in folders.items()})
    write_atomic(folders["done"] / status.MANIFEST, Path.touch)
    folders["failed"].mkdir()
    with pytest.raises(UserError), status.noted(folders["failed"]):
        raise UserError("the disk is full")
    child = FORKED.Process(target=hold, args=(folders["killed"] / status.LOCK,))
    child.start()
    _until(lambda: holder(folders["killed"] / status.LOCK) is not None)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    with only_one(folders["running"] / status.LOCK, ""):
        assert cli.main(["status", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "1 done, 1 running, 2 failed, 1 missing" in told
    assert "failed   pair failed   the disk is full" in told
    assert "failed   pair killed   was killed on" in told
    assert f"running  pair running  on {os.uname().nodename}, process {os.getpid()}" in told
    assert "missing  pair missing" in told


def test_a_job_that_is_requeued_has_not_failed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), status.noted(tmp_path):
        raise SystemExit(-1)
    assert status.of(tmp_path).state is status.State.missing


def test_status_of_no_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(tmp_path)]) == 1
    assert "holds no runs" in capsys.readouterr().err


def _until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)
