"""The command line, as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from convergence import figures
from convergence.commands import main as cli
from convergence.experiment.compose import compose, conf_folder
from convergence.experiment.folder import run_folder
from convergence.experiment.status import LOCK
from convergence.results import table as results
from convergence.system.claims import only_one
from convergence.system.errors import UserError
from convergence.system.options import check
from tests.support.command import begin, command

SMALL = [
    "dataset=digits",
    "dataset.stimuli=200",
    "dataset.train_images=256",
    "model.training.epochs=1",
    "model.layers=[conv1,layer3.conv*,fc]",
]


def started(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command from its interpreter's start; elsewhere here it is forked from one that has started."""
    program = [sys.executable, "-m", "convergence"]
    return subprocess.run([*program, *words], capture_output=True, text=True, check=False, cwd=cwd)


def rows(place: Path) -> pd.DataFrame:
    return results.read([place])


@pytest.mark.slow
def test_a_run_ends_with_figures_results_and_a_manifest_and_a_second_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = started("run", *SMALL, f"output={tmp_path}", cwd=tmp_path)
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
    assert cli.main(["run", *SMALL, f"output={tmp_path}", "batch_size=64", "figures=false"]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert cli.main(["figure", str(folder)]) == 0
    assert "depth_profile.png" in capsys.readouterr().out


@pytest.mark.slow
def test_a_broken_shard_is_computed_again_across_architectures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = ["model@against=tiny_vgg", "against.training.epochs=1", "model.seeds.init=[0]", "against.seeds.init=[0]"]
    words = ["run", *SMALL, f"output={tmp_path}", "metric=procrustes", "figures=false", *against]
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
    words = [*SMALL, "metric=procrustes", "figures=false", f"output={tmp_path}"]
    folder = run_folder(compose(words))
    with only_one(folder / LOCK, ""):
        second = begin("run", *words)
        second.until(lambda: "another run works in" in second.err.read_text())
        assert not (folder / "results.parquet").exists()
    assert second.finish().returncode == 0
    assert (folder / "results.parquet").is_file()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_sentence(tmp_path: Path) -> None:
    process = begin("run", *SMALL, "model.training.epochs=200", f"output={tmp_path}")
    process.until(lambda: list(tmp_path.rglob("step-0000001.safetensors")))
    process.send_signal(signal.SIGINT)
    done = process.finish()
    assert done.returncode == 130
    assert "stopped; what is done is kept" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runn"], "'runn' is no command; did you mean 'run'?"),
        (["run", "modle=x"], "there is no option 'modle'. Did you mean model"),
        (["run", "metric.fold=3"], "there is no option 'metric.fold'. Did you mean metric.folds"),
        (["run", "+new=1"], "there is no option 'new' to add (+new=1)"),
        (["run", "model=tiny_resnt"], "model=tiny_resnt: there is no such choice; did you mean tiny_resnet?"),
        (["run", "metric=x"], "metric=x: there is no such choice; the choices are all, cca"),
        (["run", "hydra/launcher=slrm"], "hydra/launcher=slrm: there is no such choice; did you mean slurm?"),
        (["run", "metric.folds=x"], "metric.folds=x: Value 'x' of type 'str' could not be converted to Integer."),
        (
            ["run", "metric.names=[svcca]"],
            "there is no metric 'svcca'; choose from linear, procrustes, permutation, soft_matching, partial_",
        ),
        (["run", "model.training.optimizer=foo"], "optimizer=foo: Invalid value 'foo', expected one of [sgd, adamw]"),
        (["run", "dataset.stimuli=7"], "7 stimuli are too few for 5 folds"),
        (["run", "dataset=image_folder"], "name it with dataset.root=PATH"),
        (["run", "output=/proc/none"], "/proc/none/depth/"),
        (["run", "model=torchvision", "model.checkpoints=[none.pth]"], "none.pth does not exist"),
        (
            ["run", "null=both", "null.draws=5"],
            "draws=5 can give no p-value below 1/6, and alpha=0.05: ask for 19 draws",
        ),
        (["run", "device=tpu9"], "device=tpu9 is not a device"),
        (["run", "dataset.size"], "dataset.size has no value: write dataset.size=VALUE."),
        (["list", "model"], "did you mean list models?"),
        (["list", "metrics", "svcca"], "no metrics match 'svcca'"),
        (["figure", "nowhere"], "nowhere holds no results.parquet"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_status_1(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 1
    told = capsys.readouterr()
    assert sentence in told.err
    assert len((told.out + told.err).strip().splitlines()) == 1


def test_a_process_ends_with_status_1_and_no_traceback(tmp_path: Path) -> None:
    done = started("run", "modle=x", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("convergence: there is no option 'modle'. Did you mean model")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("spelling", ["debug=true", "debug=True", "debug=TRUE"])
def test_debug_shows_the_traceback_however_it_is_spelt(spelling: str) -> None:
    with pytest.raises(UserError, match="7 stimuli are too few"):
        cli.main(["run", "dataset.stimuli=7", spelling])


@pytest.mark.parametrize("words", [["-m", "run"], ["run", "-m"], ["--multirun", "run"]])
def test_flags_of_hydra_stand_before_or_after_the_command(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    swept = ["dataset.stimuli=5,6", "model.layers=[conv1]", f"output={tmp_path}"]
    assert cli.main([*words, *swept]) == 1
    assert "2 of the sweep's jobs failed" in capsys.readouterr().err


def test_the_config_is_shown_by_a_flag_before_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--cfg", "job", "run", "metric=procrustes"]) == 0
    assert "- procrustes" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "++dataset.new=1"], "there is no option 'dataset.new' to add (++dataset.new=1)"),
        (["run", "~metric"], "~metric: an option cannot be taken away"),
        (["run", "against.seeds.init=[0]"], "sets up a second model, and there is none: name it with model@against="),
        (["run", "axis.cross_time=true"], "there is no option 'axis.cross_time'. It is one of axis=training."),
        (["run", "null.dras=1"], "there is no option 'null.dras'. Did you mean null.draws"),
        (
            ["run", "dataset=digits", "dataset.size=8"],
            "there is no option 'dataset.size'. It is one of dataset=shapes.",
        ),
        (
            ["run", "model=arrays", "model.weights=[x]"],
            "there is no option 'model.weights'. It is one of model=alexnet, model=barlow_twins_resnet50, "
            "model=convnext, model=deit and ",
        ),
        (
            ["run", "model@against=arrays", "against.training.epochs=1"],
            "there is no option 'against.training.epochs'. It is one of model@against=alexnet",
        ),
        (
            ["run", "model=[tiny_resnet,tiny_vgg]", "model.training.epochs=3"],
            "a population has no option 'model.training.epochs': give it to each network of the list, as in "
            "{model: alexnet, training: {epochs: …}}.",
        ),
        (["run", "metric=[linear,procrustes]"], "give a list such as metric.names=[linear,procrustes]"),
        (["run", "model.seeds.init=3"], "model.seeds.init=3: give a list such as [a,b]."),
        (["run", "model.training=3"], "model.training=3: it is a group of options; set one of these."),
        (["run", "=x"], "=x: there is no option before the equals sign"),
        (["run", "model={a: b}"], "model takes the name of a choice; set its options one by one, as model.name=…."),
        (["run", "dataset=image_folder", "dataset.root=???"], "dataset.root has no value: write dataset.root=VALUE."),
        (["train", "model=torchvision"], "resnet18 is not trained here: choose a recipe"),
    ],
)
def test_what_hydra_words_badly_is_said_plainly(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    told = capsys.readouterr()
    assert sentence in told.err
    assert len((told.out + told.err).strip().splitlines()) == 1


@pytest.mark.parametrize("axis", ["depth", "training", "ood"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model@against=torchvision", "against.checkpoints=[none.pth]"], "none.pth does not exist"),
        (["model@against=tiny_vgg", "against.layers=[nope]"], "'nope' matches no layer of tiny_vgg"),
    ],
    ids=["weights", "layers"],
)
def test_what_the_second_model_lacks_is_said_before_the_first_is_trained(
    words: list[str], sentence: str, axis: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", *SMALL, f"axis={axis}", f"output={tmp_path}", f"cache={tmp_path}/cache", *words]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "word",
    [
        *("batch_size=0", "memory_gb=0", "workers=-1", "metric.folds=1", "dataset.stimuli=0", "dataset.train_images=0"),
        *("model.training.epochs=-1", "model.training.batch_size=0", "model.training.learning_rate=0"),
        *("model.training.momentum=1.5", "model.training.warmup=-0.1", "model.training.weight_decay=nan"),
    ],
)
def test_numbers_out_of_bounds_are_refused_by_their_full_name(word: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(word.split('=')[0])}=.* is out of bounds: give a number"):
        check(compose([word]))


@pytest.mark.parametrize("name", ["metric.names", "model.seeds.init", "model.layers", "model.seeds.order"])
def test_empty_lists_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"{re.escape(name)}=\[\] names nothing"):
        check(compose([f"{name}=[]"]))


@pytest.mark.parametrize("name", ["figure", "report", "list", "status", "cache"])
def test_each_command_has_a_help_of_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert f"\n    {name} " in capsys.readouterr().out
    assert cli.main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"usage: convergence {name}" in told
    assert max(map(len, told.splitlines())) <= 80


def test_help_of_run_lists_every_choice_and_the_composed_config_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--help"]) == 0
    whole = capfd.readouterr().out
    assert all(path.stem in whole for path in conf_folder().glob("*/*.yaml"))
    assert "schema" not in whole
    assert cli.main(["run", "--cfg", "job", "axis=depth", "metric=procrustes", "model@against=null"]) == 0
    composed = capfd.readouterr().out
    assert "- procrustes" in composed
    assert "against: null" in composed


def test_lists_can_be_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> str:
        assert cli.main(["list", *words]) == 0
        return capsys.readouterr().out

    assert told("metrics").startswith("linear")
    assert "resnet18" in told("models", "resnet1*")
    assert "layer3.conv2" in told("layers", "tiny_resnet")


@pytest.mark.parametrize("group", ["model", "dataset", "metric", "axis", "null"])
def test_every_choice_of_every_group_composes(group: str) -> None:
    for path in sorted((conf_folder() / group).glob("*.yaml")):
        made = compose([f"{group}={path.stem}"])
        assert getattr(made, group) is not None


def test_options_that_change_no_number_do_not_change_the_run() -> None:
    from convergence.experiment.folder import run_hash

    base = run_hash(compose())
    assert run_hash(compose(["device=cpu", "batch_size=3", "workers=2", "output=elsewhere", "memory_gb=9"])) == base
    assert run_hash(compose(["null.draws=999", "null.seed=3"])) == base  # of no null
    assert run_hash(compose(["null=shuffle"])) != base
    assert run_hash(compose(["metric.folds=4"])) != base
    assert run_hash(compose(["dataset.seed=1"])) != base


def test_figures_of_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="there are no rows to draw"):
        figures.draw(results.conform(pd.DataFrame()).to_pandas(), Path("nowhere"))


def test_files_of_different_runs_concatenate_with_the_same_types(tmp_path: Path) -> None:
    table = pd.DataFrame({"axis": ["depth"], "score": [0.5], "fold": [0]})
    for name in ("a", "b"):
        results.write_shard(tmp_path / name, "one", table.assign(source_seed=np.nan if name == "a" else 3))
        results.merge(tmp_path / name, ["one"])
    both = results.read([tmp_path])
    assert len(both) == 2
    assert list(both.columns) == results.SCHEMA.names


def test_a_file_from_before_a_column_was_added_is_read_with_that_column_empty(tmp_path: Path) -> None:
    table = results.conform(pd.DataFrame({"axis": ["depth"], "score": [0.5]}))
    pq.write_table(table.drop_columns(["draws", "p_value_max"]), tmp_path / results.RESULTS)
    found = results.read([tmp_path])
    assert list(found.columns) == results.SCHEMA.names
    assert found.p_value_max.isna().all()
    pq.write_table(table.drop_columns(["score"]), tmp_path / results.RESULTS)
    with pytest.raises(UserError, match="is not a table of results"):
        results.read([tmp_path])


def test_writers_at_once_never_leave_a_broken_file(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    table = pd.DataFrame({"axis": ["depth"] * 500, "score": np.arange(500) / 7})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: results.write_shard(tmp_path, "same", table), range(40)))
    assert len(results.merge(tmp_path, ["same"])) == 500
    assert os.listdir(tmp_path / "shards") == ["same.parquet"]


@pytest.mark.slow
def test_a_failing_job_does_not_end_a_sweep(tmp_path: Path) -> None:
    words = ["--multirun", "dataset.stimuli=5,100", "model.layers=[conv1]", "metric=procrustes", "figures=false"]
    done = command("run", *SMALL, f"output={tmp_path}", *words)
    assert done.returncode == 1
    assert "5 stimuli are too few for 5 folds" in done.stderr
    assert "1 of the sweep's jobs failed: " in done.stderr
    assert set(rows(tmp_path).n_train) == {80}
