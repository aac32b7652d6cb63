"""Sweeps on a real SLURM of two nodes, started here on loopback: the same rows, whatever happens to the jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from convergence.commands.words import populations
from convergence.experiment import run as experiment
from convergence.experiment import status
from convergence.experiment.compose import compose
from convergence.results import table as results
from convergence.system.claims import holder, only_one
from tests.support.command import Begun, begin, command
from tests.support.slurm import Slurm, Unavailable, look_often

pytestmark = pytest.mark.slow
_WAIT = 120.0
_SMALL = [
    *("dataset=digits", "dataset.stimuli=60", "dataset.train_images=128", "metric=procrustes", "figures=false"),
    *("progress=false", "model=[{model:tiny_resnet,training:{epochs:0},layers:[conv1,fc]}]"),
]
_LAUNCHER = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        cluster.stop()


class Sweep:
    """One command, given as often as the test likes: three networks, so three pairs."""

    def __init__(self, slurm: Slurm, place: Path, per_job: int) -> None:
        self.slurm, self.place = slurm, place
        self.words = [*_SMALL, "model.seeds.init=[0,1,2]", f"model.per_job={per_job}"]

    def begin(self, *words: str) -> Begun:
        command = ["run", "--multirun", *self.words, f"output={self.place}", *_LAUNCHER, *words]
        return begin(*command, env=self.slurm.environment, before=look_often)

    def finish(self, process: Begun) -> tuple[int, str]:
        done = process.finish(_WAIT)
        return done.returncode, done.stderr

    def runs(self) -> list[status.Run]:
        return [run for runs in status.survey(self.place / "depth").values() for run in runs]

    def rows(self) -> pd.DataFrame:
        (folder,) = (p.parent for p in (self.place / "depth").glob("*/plan.json"))
        return results.read([folder])

    def here(self, output: Path) -> pd.DataFrame:
        """The rows of the same population, in this process."""
        return experiment.run(compose(populations([*self.words, f"output={output}"])))

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Within it one network is never trained, so that all of its pairs but not the other one wait for it.

        Of two jobs of two pairs, each has one that waits, and the first begins with the one that does not.
        """
        names = [p.name for p in (_reference / ".cache" / "networks").iterdir()]
        (name,) = (n for n in names if "init0-" in n)
        with only_one(self.place / ".cache" / "networks" / name / "lock", ""):
            yield


_reference = Path()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, slurm: Slurm) -> pd.DataFrame:
    """In this process."""
    global _reference
    _reference = tmp_path_factory.mktemp("reference")
    return Sweep(slurm, _reference, 1).here(_reference)


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.2)


def states(sweep: Sweep) -> list[str]:
    return sorted(run.state.value for run in sweep.runs()) if (sweep.place / "depth").is_dir() else []


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same rows, none twice."""
    keys = [*("run", "source_weights", "target_weights", "source_layer", "target_layer", "metric"), "direction", "fold"]
    assert not found.duplicated(keys).any()
    a, b = (table.sort_values(keys).reset_index(drop=True) for table in (found, expected))
    pd.testing.assert_frame_equal(a, b)


def written(sweep: Sweep) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in sweep.place.rglob("shards/*.parquet")}


def test_three_comparisons_over_two_nodes_give_the_rows_of_one_process(
    slurm: Slurm, reference: pd.DataFrame, tmp_path: Path
) -> None:
    sweep = Sweep(slurm, tmp_path, 1)
    code, errors = sweep.finish(sweep.begin())
    assert code == 0, errors
    assert "3 comparisons to make, in 3 jobs" in errors
    assert "keeps no accounting" in errors
    assert states(sweep) == ["done"] * 3
    assert "NodeList=n1" in slurm.ask("scontrol", "show", "jobs")
    assert "NodeList=n2" in slurm.ask("scontrol", "show", "jobs")
    same(sweep.rows(), reference)
    before = written(sweep)
    code, errors = sweep.finish(sweep.begin())
    assert code == 0
    assert "nothing to do" in errors
    assert written(sweep) == before


def test_a_job_cancelled_and_a_worker_killed_are_made_up_for(
    slurm: Slurm, reference: pd.DataFrame, tmp_path: Path
) -> None:
    sweep = Sweep(slurm, tmp_path, 2)
    with sweep.held_up():
        process = sweep.begin()
        until(lambda: states(sweep) == ["done", "running", "running"])
        victim = next(run for run in sweep.runs() if run.state is status.State.running)
        claim = holder(victim.folder / "lock")
        assert claim is not None
        os.kill(claim.pid, signal.SIGKILL)
        until(lambda: len(slurm.jobs()) == 1)
        slurm.ask("scancel", *slurm.jobs())
        code, errors = sweep.finish(process)
    assert code == 1
    assert "ended without a result" in errors
    assert "1 done, 2 failed (tiny_resnet seed" in errors
    assert "Traceback" not in errors
    before = written(sweep)
    code, errors = sweep.finish(sweep.begin())
    assert code == 0, errors
    assert "2 comparisons to make" in errors
    same(sweep.rows(), reference)
    assert before.items() <= written(sweep).items()


def test_the_jobs_of_a_killed_command_go_on_and_it_can_be_given_again(
    slurm: Slurm, reference: pd.DataFrame, tmp_path: Path
) -> None:
    sweep = Sweep(slurm, tmp_path, 2)
    with sweep.held_up():
        process = sweep.begin()
        until(lambda: states(sweep) == ["done", "running", "running"])
        process.send_signal(signal.SIGKILL)
        assert process.finish().returncode == -signal.SIGKILL
        before = written(sweep)
    code, errors = sweep.finish(sweep.begin())
    assert code == 0, errors
    same(sweep.rows(), reference)
    assert before.items() <= written(sweep).items()


def test_jobs_out_of_time_or_on_a_node_that_goes_down_are_queued_again(
    slurm: Slurm, reference: pd.DataFrame, tmp_path: Path
) -> None:
    sweep = Sweep(slurm, tmp_path, 2)
    with sweep.held_up():
        process = sweep.begin("hydra.launcher.timeout_min=5")
        until(lambda: states(sweep) == ["done", "running", "running"])
        until(lambda: len(slurm.jobs()) == 2)
        late, other = slurm.jobs()
        slurm.ask("scancel", "--signal=USR2", late)  # as SLURM does before the time is over
        until(lambda: slurm.restarts(late) == 1)
        node = slurm.ask("squeue", "--noheader", f"--jobs={other}", "--format=%N").strip()
        slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        until(lambda: slurm.restarts(other) == 1)
        before = written(sweep)
    try:
        code, errors = sweep.finish(process)  # on the node that is left
    finally:
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")
    assert code == 0, errors
    same(sweep.rows(), reference)
    assert before.items() <= written(sweep).items()


def test_a_network_of_the_users_own_is_found_by_the_jobs_from_where_the_command_was_typed(
    slurm: Slurm, tmp_path: Path
) -> None:
    code = (
        "from torch import nn\n"
        "def net(width=4):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),"
        " nn.Linear(width, 10))\n"
    )
    (tmp_path / "nets.py").write_text(code)
    member = "model=[{model:module,factory:'nets.py:net',arguments:{width:6},seeds:{init:[0,1]}}]"
    words = ["dataset=digits", "dataset.stimuli=60", "metric=procrustes", "figures=false", "output=out", member]
    done = command("run", "--multirun", *words, *_LAUNCHER, env=slurm.environment, cwd=tmp_path, before=look_often)
    assert done.returncode == 0, done.stderr
    rows = results.read([next((tmp_path / "out" / "depth").glob("*/plan.json")).parent])
    assert set(rows.source_weights) == {"untrained0", "untrained1"}
    assert set(rows.source_units) == {6, 10}
