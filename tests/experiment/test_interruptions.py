"""What a run goes through and survives: kill -9 at any instant, full and read-only disks."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from convergence import figures
from convergence.commands import main as cli
from convergence.experiment import representations
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.config import Config
from convergence.models import load as models
from convergence.results import table as results
from convergence.system.errors import UserError
from tests.support.command import command
from tests.support.kills import killed_in
from tests.support.tables import table

SMALL = (
    *("dataset=digits", "dataset.stimuli=200", "dataset.train_images=256"),
    *("model.training.epochs=1", "model.layers=[conv1,layer3.conv*,fc]", "progress=true", "figures=false"),
)


def words(place: Path, *more: str) -> list[str]:
    return [*SMALL, f"output={place}", *more]


@pytest.mark.slow
def test_runs_killed_at_random_instants_end_with_the_rows_of_an_undisturbed_one(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    # Seconds that each stage takes about, so that the instants fall anywhere in it.
    stages = [("Training", 1, 0.5), ("Training", 1, 0.5), ("Extracting", 1, 0.2), ("Scoring", 2, 0.1)]
    for stage, nth, about in stages:
        deadly = partial(killed_in, stage, nth, rng.uniform(0, about))
        done = command("run", *words(tmp_path / "killed"), before=deadly)
        assert done.returncode == -signal.SIGKILL, (seed, stage, done.stderr)
        assert not list(tmp_path.rglob("results.parquet"))
    resumed = command("run", *words(tmp_path / "killed"))
    assert resumed.returncode == 0, (seed, resumed.stderr)
    assert "broken" not in resumed.stderr, seed
    experiment.run(compose(words(tmp_path / "whole")))
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole"), seed
    # To the last bits, which the order of sums among threads may move.
    expected = results.read([tmp_path / "whole"])
    pd.testing.assert_frame_equal(results.read([tmp_path / "killed"]), expected, rtol=0, atol=1e-12)


def weights(place: Path) -> list[str]:
    """Hashes of all networks of the only run."""
    manifest = json.loads(next(place.glob("depth/*/manifest.json")).read_text())
    return [network["weights_hash"] for network in manifest["networks"]]


# ---------------------------------------------------------------- disks


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own in memory, of the size that the parameter says."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")
    mount = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here ({done.stderr.strip()})")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def small(cache: Path, output: Path) -> Config:
    return compose(words(output, f"cache={cache}", "metric=procrustes"))


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["size=500k"], indirect=True)
def test_a_full_disk_is_said_wherever_it_fills_and_with_more_space_the_run_goes_on(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small(disk, disk / "out")

    def leave(free: int) -> None:
        used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
        subprocess.run(["mount", "-o", f"remount,size={used + free}", str(disk)], check=True)

    def refused() -> str:
        with pytest.raises(UserError, match=r"could not be written, the disk is full: free some space") as error:
            experiment.run(made)
        assert not list(disk.rglob(".*.tmp")), "no half file takes the space that is left"
        return str(error.value)

    assert "/networks/" in refused()
    leave(50 * 2**20)
    models.trajectories(made.model, made.dataset, folder=disk / "networks", device=torch.device("cpu"))
    leave(8192)
    with monkeypatch.context() as patch:
        patch.setattr(representations, "is_kept", lambda *_: True)  # there was room when the work began
        assert "/chunk-" in refused()
    leave(50 * 2**20)
    rows = experiment.run(made)
    shutil.rmtree(disk / "out")
    leave(4096)
    assert "/shards/" in refused()
    with pytest.raises(UserError, match=r"depth_profile.* the disk is full"):
        figures.draw(rows, disk)
    leave(50 * 2**20)
    assert experiment.run(made).equals(rows)


@pytest.mark.parametrize("disk", ["size=1m"], indirect=True)
def test_a_read_only_folder_is_said_on_every_path_that_writes(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results.write_shard(disk / "run", "one", table())
    results.merge(disk / "run", ["one"])
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    read_only = r"could not be written, the file system is read-only: choose another folder"
    with pytest.raises(UserError, match=rf"{disk}/out/depth/.*{read_only}"):
        experiment.run(small(tmp_path / "cache", disk / "out"))
    with pytest.raises(UserError, match=rf"{disk}/networks/tiny_resnet-digits-.*{read_only}"):
        experiment.run(small(disk, tmp_path / "out"))
    assert cli.main(["figure", str(disk / "run")]) == 1
    assert "read-only" in capsys.readouterr().err
