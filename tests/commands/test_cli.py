"""The command line, as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from convergence.commands import main as cli
from convergence.experiment.compose import compose
from convergence.experiment.folder import run_folder
from convergence.experiment.status import LOCK
from convergence.results import table as results
from convergence.system.claims import only_one
from tests.support import drafts
from tests.support.command import begin, command
from tests.support.recipes import SMALL_RUN


def started(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command from its interpreter's start; elsewhere here it is forked from one that has started."""
    program = [sys.executable, "-m", "convergence"]
    return subprocess.run([*program, *words], capture_output=True, text=True, check=False, cwd=cwd)


def rows(place: Path) -> pd.DataFrame:
    return results.read([place])


@pytest.mark.slow
def test_a_run_ends_with_figures_results_and_a_manifest_and_a_second_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started("run", *SMALL_RUN, f"output={tmp_path}", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "held-out score" in first.stdout
    assert max(map(len, first.stdout.split("results ")[0].splitlines())) <= 80
    folder = next((tmp_path / "depth").iterdir())
    names = {f"depth_{what}.{kind}" for what in ("profile", "heatmaps") for kind in ("pdf", "png")}
    assert names <= {p.name for p in folder.iterdir()}
    assert pq.read_schema(folder / "results.parquet").equals(results.SCHEMA)
    table = rows(tmp_path)
    assert set(table.metric) == {"linear", "procrustes", "permutation", "soft_matching"}
    assert set(table.run) == {folder.name.rsplit("-", 1)[1]}
    trained = table[table.source_step != 0]
    assert len(trained) == 5 * 2 * (16 * 3 + 6)  # 4 × 4 layers, of which 6 pairs have equal widths
    assert trained.source_accuracy.notna().all()
    assert json.loads((folder / "manifest.json").read_text())["stimuli"][0]["count"] == 200
    assert cli.main(["run", *SMALL_RUN, f"output={tmp_path}", "batch_size=64", "figures=false"]) == 0
    assert "nothing to do" in capsys.readouterr().err
    drafts.left_out(monkeypatch)
    assert cli.main(["figure", str(folder)]) == 0
    assert "depth_profile.png" in capsys.readouterr().out


def test_a_process_ends_with_status_1_and_no_traceback(tmp_path: Path) -> None:
    done = started("run", "modle=x", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("convergence: there is no option 'modle'. Did you mean model")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.slow
def test_a_broken_shard_is_computed_again_across_architectures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = ["model@against=tiny_vgg", "against.training.epochs=0", "model.seeds.init=[0]", "against.seeds.init=[0]"]
    untrained = ["model.training.epochs=0", "metric=procrustes", "figures=false"]
    words = ["run", *SMALL_RUN, f"output={tmp_path}", *untrained, *against]
    assert cli.main(words) == 0
    before = rows(tmp_path)
    assert set(before.source_model) == {"tiny_resnet", "tiny_vgg"}
    shard = sorted(tmp_path.rglob("shards/*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[:50])
    next(tmp_path.rglob("results.parquet")).write_bytes(b"broken")
    assert cli.main(words) == 0
    assert "is broken and is computed again" in capsys.readouterr().err
    pd.testing.assert_frame_equal(rows(tmp_path), before)


@pytest.mark.slow
def test_a_run_waits_for_another_one_in_its_folder(tmp_path: Path) -> None:
    words = [*SMALL_RUN, "model.training.epochs=0", "metric=procrustes", "figures=false", f"output={tmp_path}"]
    folder = run_folder(compose(words))
    with only_one(folder / LOCK, ""):
        second = begin("run", *words)
        second.until(lambda: "another run works in" in second.err.read_text())
        assert not (folder / "results.parquet").exists()
    assert second.finish().returncode == 0
    assert (folder / "results.parquet").is_file()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_sentence(tmp_path: Path) -> None:
    process = begin("run", *SMALL_RUN, "model.training.epochs=200", f"output={tmp_path}")
    process.until(lambda: list(tmp_path.rglob("step-0000001.safetensors")))
    process.send_signal(signal.SIGINT)
    done = process.finish()
    assert done.returncode == 130
    assert "stopped; what is done is kept" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["-m", "run"], ["run", "-m"], ["--multirun", "run"]])
def test_flags_of_hydra_stand_before_or_after_the_command(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    swept = ["dataset.stimuli=5,6", "model.layers=[conv1]", f"output={tmp_path}"]
    assert cli.main([*words, *swept]) == 1
    assert "2 of the sweep's jobs failed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_failing_job_does_not_end_a_sweep(tmp_path: Path) -> None:
    words = ["--multirun", "dataset.stimuli=5,100", "model.layers=[conv1]", "metric=procrustes", "figures=false"]
    done = command("run", *SMALL_RUN, "model.training.epochs=0", f"output={tmp_path}", *words)
    assert done.returncode == 1
    assert "5 stimuli are too few for 5 folds" in done.stderr
    assert "1 of the sweep's jobs failed: " in done.stderr
    assert set(rows(tmp_path).n_train) == {80}
