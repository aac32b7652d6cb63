"""How many cores this process may use, which on a cluster or in a container are fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_SLURM = ("SRUN_CPUS_PER_TASK", "SLURM_CPUS_PER_TASK")
_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available(
    environment: Mapping[str, str] | None = None, groups: Path = _GROUPS, membership: Path = _MEMBERSHIP
) -> int:
    """The least of: cores that the process is bound to, those of its SLURM task, and its control group's quota.

    Parameters
    ----------
    environment : variables that SLURM sets; the process's own by default.
    groups, membership : where Linux tells control groups, and which of them the process is in.
    """
    environment = os.environ if environment is None else environment
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [bound, *(int(environment[name]) for name in _SLURM if environment.get(name, "").isdecimal())]
    limits += [max(1, math.floor(quota)) for quota in _quotas(groups, membership)]
    return max(1, min(limits))


def _quotas(groups: Path, membership: Path) -> list[float]:
    """Cores' worth of time that the process's control group and those above it are given, where that is limited."""
    found = []
    for folder in _folders(groups, membership):
        with suppress(OSError, ValueError):  # version 2
            quota, period = (folder / "cpu.max").read_text().split()
            if quota != "max":
                found.append(int(quota) / int(period))
        with suppress(OSError, ValueError):  # version 1
            time = int((folder / "cpu.cfs_quota_us").read_text())
            if time > 0:
                found.append(time / int((folder / "cpu.cfs_period_us").read_text()))
    return found


def _folders(groups: Path, membership: Path) -> list[Path]:
    found = [groups, groups / "cpu"]
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                top = groups / "cpu" if controllers else groups
                inner = Path(place.lstrip("/"))
                found += [top / inner, *(top / above for above in inner.parents)]
    return list(dict.fromkeys(found))
