"""The memory budget follows what the process may use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from convergence.system.budget import HELD, counted, gigabytes, planned, usable, usable_on

MIB = 2**20
CASES: dict[str, tuple[str, dict[str, str], dict[str, str], int]] = {
    "version 2": ("0::/job", {"sys/fs/cgroup/job/memory.max": f"{300 * MIB}\n"}, {}, 300),
    "a group above": (
        "0::/a/b",
        {"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": f"{200 * MIB}\n"},
        {},
        200,
    ),
    "version 1": (
        "9:cpu:/\n4:memory:/job",
        {"sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{100 * MIB}"},
        {},
        100,
    ),
    "a container's own view": ("4:memory:/far", {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{90 * MIB}"}, {}, 90),
    "a job's memory": ("", {}, {"SLURM_MEM_PER_NODE": "512"}, 512),
    "a job's cores": ("", {}, {"SLURM_MEM_PER_CPU": "128", "SLURM_CPUS_ON_NODE": "3"}, 384),
    "the least of all": ("0::/", {"sys/fs/cgroup/memory.max": f"{400 * MIB}"}, {"SLURM_MEM_PER_NODE": "350"}, 350),
}


@pytest.mark.parametrize("case", CASES)
def test_limits_of_containers_and_jobs_hold(tmp_path: Path, case: str) -> None:
    groups, files, environment, expected = CASES[case]
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert usable(tmp_path, environment) == expected * MIB


@pytest.mark.parametrize(
    ("groups", "environment"),
    [
        ("0::/", {"SLURM_MEM_PER_NODE": "0"}),
        ("4:memory:/", {}),
        ("", {"SLURM_MEM_PER_CPU": "100"}),
        ("", {"SLURM_MEM_PER_NODE": "much"}),
    ],
)
def test_what_is_no_limit_does_not_count(tmp_path: Path, groups: str, environment: dict[str, str]) -> None:
    machine = usable(tmp_path, {})
    files = {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096)}
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert usable(tmp_path, environment) == machine > 2**28


def test_the_budget_is_as_asked_for_or_half_of_what_may_be_used() -> None:
    cpu = torch.device("cpu")
    assert gigabytes(3.5, cpu) == 3.5
    assert gigabytes(None, cpu) == pytest.approx(usable() / 2**31)


def test_on_a_card_the_budget_is_no_more_than_the_card_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        total_memory = 2**40  # more than the host

    cuda = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card)
    assert usable_on(cuda) == 2**40 > usable()
    assert gigabytes(1000, cuda) == 1000
    assert gigabytes(5000, cuda) == 1024
    assert gigabytes(None, cuda) == pytest.approx(usable() / 2**31)


@pytest.mark.parametrize("gib", [0.05, 0.25, 2, 50])
def test_no_more_is_planned_than_is_given(gib: float) -> None:
    told = planned(counted(gib, torch.device("cpu")) * 2**30)
    assert 0.6 * gib * 2**30 < told <= gib * 2**30 * (1 + 1e-9)
    assert planned(1000) == 1000 * HELD
