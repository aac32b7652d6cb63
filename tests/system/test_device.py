"""Devices, cores and seeds that users may name, or a cluster may set: they work, or one sentence says why not."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from convergence import align
from convergence.activations.loading import workers_for
from convergence.alignment import fitted as scoring
from convergence.alignment import folds
from convergence.commands import main as cli
from convergence.experiment.compose import compose
from convergence.system import cores
from convergence.system.device import resolve_device
from convergence.system.errors import UserError
from convergence.system.options import check


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("mps", "device=mps has no float64"),
        ("mps:0", "device=mps:0 has no float64"),
        ("xpu", "device=xpu is of a kind that this program does not run on: use device=auto, cpu, cuda or cuda:N"),
        ("meta", "device=meta is of a kind"),
        ("cuda:7", "device=cuda:7 is not here: cuda:0 is the only CUDA device"),
        ("cuda:-1", "is not a device"),
        ("gpu", "device=gpu is not a device"),
        ("", "device= is not a device"),
    ],
)
def test_a_device_that_cannot_be_used_is_one_sentence(
    device: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # a machine with one card
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=sentence):
        resolve_device(device)


def test_devices_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu:0") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert resolve_device("cuda:7") == torch.device("cuda:7")
    assert resolve_device("auto") == torch.device("cuda")


def test_a_device_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "dataset=digits", "device=meta", f"output={tmp_path}"]
    assert cli.main(words) == 1
    assert "device=meta is of a kind" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("files", "membership", "environment", "expected"),
    [
        ({}, "", {}, None),
        ({"cpu.max": "max 100000"}, "", {}, None),
        ({"cpu.max": "150000 100000"}, "", {}, 1),
        ({"job/step/cpu.max": "max 100000", "job/cpu.max": "100000 100000"}, "0::/job/step", {}, 1),
        ({"cpu/job/cpu.cfs_quota_us": "100000", "cpu/job/cpu.cfs_period_us": "100000"}, "3:cpu,cpuacct:/job", {}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "", {}, None),
        ({"cpu.max": "50000 100000"}, "", {}, 1),
        ({}, "", {"SLURM_CPUS_PER_TASK": "1"}, 1),
        ({}, "", {"SRUN_CPUS_PER_TASK": "1", "SLURM_CPUS_PER_TASK": "64"}, 1),
        ({}, "", {"SLURM_CPUS_PER_TASK": "many"}, None),
    ],
    ids=range(10),
)
def test_cores_are_those_that_the_process_was_given(
    files: dict[str, str], membership: str, environment: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "membership").write_text(membership)
    bound = len(os.sched_getaffinity(0))
    assert cores.available(environment, tmp_path, tmp_path / "membership") == (expected or bound)


def test_workers_are_no_more_than_the_cores_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert workers_for(None, torch.device("cuda")) == 1
    assert workers_for(5, torch.device("cuda")) == 5


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63 - 1, -(2**63)])
def test_any_seed_gives_folds_and_draws_of_its_own(seed: int) -> None:
    assert not torch.equal(folds.assign(100, 5, seed), folds.assign(100, 5, seed % 2**32 % 1000))
    made = compose([f"metric.seed={seed}", f"null.seed={seed}", f"dataset.seed={seed}", f"model.seeds.init=[0,{seed}]"])
    check(made)
    x, y = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(0))
    table = align(x.numpy(), y.numpy(), metrics=("procrustes",), seed=seed)
    assert table.score.notna().all()


@pytest.mark.parametrize("word", ["metric.seed=99999999999999999999", "model.seeds.order=[0,-9223372036854775809]"])
def test_a_seed_that_no_table_can_hold_is_refused_at_once(word: str) -> None:
    with pytest.raises(UserError, match=r"(metric.seed|model.seeds.order)=.* is out of bounds"):
        check(compose([word]))


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
