"""Populations, their plan and their state; the cache under races and faults."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from convergence import align
from convergence.activations import extract as activations
from convergence.activations.cache import Entry
from convergence.alignment import fitted as scoring
from convergence.axes.options import DepthConfig, TrainingAxisConfig
from convergence.commands import main as cli
from convergence.commands import refusals
from convergence.commands.words import populations
from convergence.experiment import folder as runs
from convergence.experiment import population, status
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.config import Config
from convergence.experiment.members import members
from convergence.models.options import LibraryConfig
from convergence.results import table as results
from convergence.results.plan import write_plan
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system.claims import holder, only_one
from convergence.system.errors import UserError
from convergence.system.files import write_atomic
from tests.support.networks import network as net

_FORK = multiprocessing.get_context("fork")


def plan(*words: str) -> list[Config]:
    return population.units(compose(populations(list(words))))


def titles(*words: str) -> list[str]:
    return [population.title(unit) for unit in plan(*words)]


# ---------------------------------------------------------------- populations


def test_all_pairs_of_a_population_are_planned_once_and_neighbours_share_no_network() -> None:
    found = titles("model=[tiny_resnet]", "model.seeds.init=[0,1,2,3,4,5,6,7]")
    assert len(set(found)) == len(found) == 28
    for start in range(0, 28, 4):
        met = " ".join(found[start : start + 4]).replace("tiny_resnet", "").split()
        assert sorted(met) == [f"seed{i}" for i in range(8)]


def test_networks_meet_within_an_architecture_across_or_all() -> None:
    words = ["model=[tiny_resnet,{model:tiny_vgg,seeds:{init:[5]}}]", "model.seeds.init=[0,1]"]
    within, across = (titles(*words, f"model.pairing={how}") for how in ("within", "across"))
    assert within == ["tiny_resnet seed0 seed1"]
    assert sorted(across) == ["tiny_resnet seed0 × tiny_vgg seed5", "tiny_resnet seed1 × tiny_vgg seed5"]
    assert sorted(titles(*words)) == sorted(within + across)


def test_one_population_meets_another() -> None:
    found = titles("model=[tiny_resnet]", "model@against=[tiny_vgg,tiny_vit]", "against.seeds.init=[0]")
    assert len(found) == 4
    assert all(" × " in title for title in found)


def test_a_pair_of_a_population_is_the_run_that_its_own_command_makes() -> None:
    of_population = plan("model=[tiny_resnet]", "model.seeds.init=[0,1,2]")
    alone = compose(["model.seeds.init=[0,2]"])
    assert runs.run_folder(alone) in {runs.run_folder(unit) for unit in of_population}


def test_a_population_that_grows_keeps_its_runs_and_has_a_folder_of_its_own() -> None:
    small, large = (compose(["model=population", "model.members=[tiny_vgg]", f"model.seeds.init={s}"]) for s in _SEEDS)
    folders = [{runs.run_folder(unit) for unit in population.units(cfg)} for cfg in (small, large)]
    assert folders[0] < folders[1]
    assert runs.run_folder(small) != runs.run_folder(large)


_SEEDS = ("[0,1,2]", "[0,1,2,3]")


@pytest.mark.parametrize("suffix", [".yaml", ".txt"])
def test_a_file_names_the_same_networks_as_a_list(suffix: str, tmp_path: Path) -> None:
    entries = ["tiny_vgg", "torchvision/resnet18:IMAGENET1K_V1", "timm/resnet18:a1_in1k+a2_in1k"]
    path = tmp_path / f"zoo{suffix}"
    path.write_text("\n".join(f"- {e}" for e in entries) if suffix == ".yaml" else "# mine\n\n" + "\n".join(entries))
    assert titles(f"model={path}") == titles(f"model=[{','.join(entries)}]")
    assert (
        len(titles(f"model={path}")) == 10 + 2
    )  # pairs of five networks; untrained: within timm's, and with torchvision's


def test_untrained_networks_of_pretrained_architectures_are_compared_once() -> None:
    found = plan("model=[timm/resnet18:a1_in1k+a2_in1k+a3_in1k]")
    assert [unit.axis.untrained for unit in found if isinstance(unit.axis, DepthConfig)] == [False] * 3 + [True]
    assert isinstance(found[-1].model, LibraryConfig)
    assert found[-1].model.weights is None


def test_what_belongs_to_one_training_run_is_compared_once() -> None:
    axes = [unit.axis for unit in plan("model=[tiny_resnet]", "model.seeds.init=[0,1,2]", "axis=training")]
    kinds = [(axis.between, axis.baselines) for axis in axes if isinstance(axis, TrainingAxisConfig)]
    assert kinds == [(True, False)] * 3 + [(False, True)] * 3


def test_each_seed_of_a_pattern_of_checkpoints_is_a_member_with_its_points_of_training(tmp_path: Path) -> None:
    from convergence.models import patterns

    for name in ("seed_03_epoch_1.pth", "seed_03_epoch_2.pth", "seed_10_epoch_1.pth"):
        (tmp_path / name).touch()
    pattern = f"{tmp_path}/seed_{{seed}}_epoch_{{epoch}}.pth"
    found = members(LibraryConfig(name="resnet18", checkpoints=pattern))
    runs_of = [patterns.runs(patterns.listed(one.checkpoints)) for one in found if isinstance(one, LibraryConfig)]
    assert [[(run.seed, [f.epoch for f in run.files]) for run in each] for each in runs_of] == [
        [(3, [1.0, 2.0])],
        [(10, [1.0])],
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model=population"], "is no list of networks: give model="),
        (["model=[tiny_resnt]"], "'tiny_resnt' is no network: give a choice of model"),
        (["model=[{model:tiny_vgg,sneds:3}]"], "Key 'sneds' not in 'RecipeConfig'"),
        (["model=[{library:timm}]"], "missing mandatory value: name"),
        (["model=[{model:tiny_vgg,training:{epochs:-1}}]"], "model.members: training.epochs=-1 is out of bounds"),
        (["model=[{model:nothing}]"], "there is no choice model=nothing; the choices are"),
        (["model=nowhere.yaml"], "model=nowhere.yaml: there is no such file"),
        (["model=[tiny_vgg,tiny_vgg]"], "names tiny_vgg seed0 twice"),
        (
            ["model=[tiny_vgg]", "model.pairing=across"],
            r"no two networks of the population meet \(model.pairing=across",
        ),
        (["model=[tiny_vgg]", "model.seeds.init=[0]"], "no two networks of the population meet"),
    ],
)
def test_populations_that_are_not_understood_are_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan(*words)


def test_a_part_that_the_population_no_longer_has_is_refused(tmp_path: Path) -> None:
    words = ["model=population", "model.members=[tiny_vgg]", "model.part=[c0000000000]", f"output={tmp_path}"]
    with pytest.raises(UserError, match="has changed since this sweep began"):
        experiment.run(compose(words))


# ---------------------------------------------------------------- the command line

_SMALL = [
    *("dataset=digits", "dataset.stimuli=40", "dataset.train_images=64", "metric=procrustes", "progress=false"),
    *("figures=false", "model=[{model:tiny_resnet,training:{epochs:0},layers:[conv1,fc]}]"),
]


def test_a_population_runs_pair_by_pair_and_one_that_fails_ends_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", *_SMALL, "model.seeds.init=[0,1,2]", f"output={tmp_path}"]
    units = plan(*words[1:])
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


def test_a_dry_run_prints_the_plan_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--dry-run", "-m", *_SMALL, "model.seeds.init=[0,1,2]", "model.per_job=2", f"output={tmp_path}"]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "missing  tiny_resnet seed0 seed1" in told
    assert "0 done, 3 missing of 3 on 40 stimuli\n2 jobs" in told
    assert "at most 3 networks, 240 images to extract" in told, "each trained and untrained, once"
    assert "MiB on disk" in told
    assert "besides training" in told
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- status


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
    child = _FORK.Process(target=_hold, args=(folders["killed"] / status.LOCK,))
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


def _hold(path: Path) -> None:
    with only_one(path, ""):
        time.sleep(60)


def _until(what: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---------------------------------------------------------------- the cache


# Forks all the processes from one that has only imported: each would spend seconds on its own start.
_EXTRACT = """
import contextlib, multiprocessing, sys
from pathlib import Path
from convergence.activations import cache
from tests.experiment.test_cluster import extracted
place, log, locked = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if locked == "no":
    cache.only_one = lambda path, waiting: contextlib.nullcontext()
context = multiprocessing.get_context("fork")
together, found = context.Barrier(8), context.SimpleQueue()
def work():
    together.wait(60)
    found.put(float(extracted(place, log).read(["fc"], 0, 40)["fc"].sum()))
processes = [context.Process(target=work) for _ in range(8)]
for process in processes:
    process.start()
for process in processes:
    process.join()
assert not any(process.exitcode for process in processes)
print(*(found.get() for _ in processes))
"""


def extracted(place: Path, log: Path) -> Any:
    """Responses of a small network to 40 images; each forward pass over all of them leaves a line in the log."""

    def note(_: nn.Module) -> None:
        with open(log, "a") as handle:
            handle.write(f"{os.getpid()}\n")

    network = net()
    noisy = replace(network, builder=partial(_noted, network.builder, note))
    options: dict[str, Any] = {"device": torch.device("cpu"), "batch_size": 8, "workers": 0}
    return activations.extract(noisy, load(ShapesConfig(size=16, stimuli=40), "test"), cache=place, **options)


def _noted(build: Callable[[], nn.Module], note: Callable[[nn.Module], None]) -> nn.Module:
    model = build()
    note(model)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("locked", ["yes", "no"])
def test_eight_processes_extract_once_and_are_right_even_where_claims_hold_nothing(locked: str, tmp_path: Path) -> None:
    right = float(extracted(tmp_path / "alone", tmp_path / "log-alone").read(["fc"], 0, 40)["fc"].sum())
    log = tmp_path / "log"
    command = [sys.executable, "-c", _EXTRACT, str(tmp_path / "shared"), str(log), locked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = [float(number) for number in done.stdout.split()]
    assert found == [right] * 8
    if locked == "yes":
        assert len(log.read_text().split()) == 1
    assert not [p for p in (tmp_path / "shared").rglob("*") if p.suffix == ".tmp" or p.name == "lock"]


def test_every_flipped_bit_and_every_cut_of_an_entry_is_noticed_and_mended(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(activations, "_CHUNK_BYTES", 4 * 22 * 25)  # two chunks
    whole = extracted(tmp_path, tmp_path / "log").read(["conv", "fc"], 0, 40)
    (folder,) = (tmp_path / "activations").iterdir()
    files = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(files) >= 3
    draw, noticed, entry = random.Random(0), 0, Entry(folder)
    for i in range(600):
        path, content = draw.choice(list(files.items()))
        if i % 4:
            place = draw.randrange(len(content))
            broken = content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        else:
            broken = content[: draw.randrange(len(content))]
        path.write_bytes(broken)
        found = entry.open()
        noticed += found is None
        if found is not None:  # a blank of the header
            assert all(torch.equal(found.read([n], 0, 40)[n], t) for n, t in whole.items())
        for each, text in files.items():
            each.write_bytes(text)
    assert noticed > 500
    path.write_bytes(broken)
    again = extracted(tmp_path, tmp_path / "log").read(["conv", "fc"], 0, 40)
    assert all(torch.equal(again[name], values) for name, values in whole.items())


def _write(folder: Path, pipe: int, kind: str) -> None:
    """Files, one after another, each told when it is there."""
    table = pd.DataFrame({"axis": ["depth"] * 200, "score": range(200)})
    for i in range(1000):
        if kind == "shard":
            results.write_shard(folder, f"{i}", table)
        else:
            Entry(folder).write_chunk(i, {"layer": torch.full((64, 64), float(i))})
        os.write(pipe, f"{i}\n".encode())


@pytest.mark.parametrize("kind", ["shard", "chunk"])
def test_three_hundred_writers_killed_at_random_instants_lose_nothing_and_leave_no_half_file(
    kind: str, tmp_path: Path
) -> None:
    draw, told = random.Random(0), 0
    for round_ in range(150):
        folder = tmp_path / str(round_)
        reading, writing = os.pipe()
        child = _FORK.Process(target=_write, args=(folder, writing, kind))
        child.start()
        os.close(writing)
        with os.fdopen(reading) as lines:
            first = lines.readline()
            time.sleep(draw.uniform(0, 0.02))
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
            acknowledged = {int(line) for line in [first, *lines] if line.endswith("\n")}
        there = {int(p.stem.split("-")[-1]) for p in folder.rglob("[!.]*.*")}
        assert acknowledged <= there
        for i in there:
            if kind == "shard":
                assert len(results.read_shard(folder, f"{i}") or ()) == 200
            else:
                assert Entry(folder).has_chunk(i)
        told += len(acknowledged)
    assert told >= 150


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted here (needs root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("writer", ["safetensors", "torch", "parquet", "text"])
def test_a_full_disk_is_one_sentence_whoever_writes_and_leaves_no_half_file(writer: str, full_disk: Path) -> None:
    big = {"layer": torch.rand(200_000)}
    write: dict[str, Callable[[Path], object]] = {
        "safetensors": lambda path: save_file(big, path),
        "torch": lambda path: torch.save(big, path),
        "parquet": lambda path: pd.DataFrame({"x": big["layer"].numpy()}).to_parquet(path),
        "text": lambda path: path.write_text("x" * 500_000),
    }
    with pytest.raises(
        UserError, match=r"could not be written, the disk is full: free some space .* what is done is kept"
    ):
        write_atomic(full_disk / "file", write[writer])
    assert list(full_disk.iterdir()) == []


def test_what_is_no_fault_of_the_disk_is_raised_as_it_is(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write_atomic(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- devices


def test_a_tile_that_does_not_fit_on_the_device_is_halved_until_it_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = ({f"{side}{i}": torch.randn(60, 4, generator=generator) for i in range(3)} for side in "xy")
    expected = align(x, y, metrics=("procrustes",))
    real, sizes = scoring.accumulate, []

    def small(a: Any, b: Any, pairs: Any, *rest: Any, **more: Any) -> Any:
        sizes.append(len(pairs))
        if len(pairs) > most:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(a, b, pairs, *rest, **more)

    monkeypatch.setattr(scoring, "accumulate", small)
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    most = 2
    pd.testing.assert_frame_equal(align(x, y, metrics=("procrustes",)), expected)
    assert sizes[0] == 9
    assert "a tile of 9 pairs of layers did not fit on the device and was halved" in caplog.text
    most = 0
    with pytest.raises(UserError, match="layers 'x2' and 'y2' do not fit on the device: give device=cpu"):
        align(x, y, metrics=("procrustes",))
