"""How much memory this process may use: of the machine, of its container, of its job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

_SHARE = 0.5  # of what may be used: the rest is for the networks, their images, and others
HELD = 1.75  # bytes held for each that scoring counts: copies, buffers, gaps (scripts/benchmark_memory.py measures it)
_LARGE, _FIXED = 1.2, 80 * 2**20  # the same where much is counted, and bytes besides
_UNKNOWN = 4 * 2**30
_NO_LIMIT = 2**60  # how cgroups of version 1 spell it, about


def gigabytes(asked: float | None, device: torch.device) -> float:
    """The budget in GiB: as asked for, else half of what the process may use, and of a card that holds the moments.

    No more of a card than it has, whatever was asked for.
    """
    if asked is not None:
        return min(asked, usable_on(device) / 2**30) if device.type == "cuda" else asked
    return _SHARE * min(usable(), usable_on(device)) / 2**30


def counted(asked: float | None, device: torch.device) -> float:
    """GiB that scoring may count of the budget, so that what it holds stays within."""
    return gigabytes(asked, device) / HELD


def planned(bytes_counted: float) -> float:
    """Bytes that scoring will hold, about: copies are of a part of what is counted, less and less of it as it grows."""
    return min(HELD * bytes_counted, _LARGE * bytes_counted + _FIXED)


def usable_on(device: torch.device) -> int:
    """Bytes that the device has for moments: a card's own memory, or what this process may use of the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return usable()


def usable(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Bytes: the least of the machine's memory, the limits of the process's cgroups, and those of a SLURM job.

    Parameters
    ----------
    root : above ``proc`` and ``sys``.
    """
    limits = [*_of_machine(), *_of_cgroups(root), *_of_slurm(environment)]
    return min((limit for limit in limits if 0 < limit < _NO_LIMIT), default=_UNKNOWN)


def _of_machine() -> Iterator[int]:
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return


def _of_cgroups(root: Path) -> Iterator[int]:
    """Of the process's own groups and of all above them; in a container only some of these can be seen."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in kinds.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        own = top / place.lstrip("/")
        for folder in (own, *own.parents):
            yield from _number(folder / name)
            if folder == top:
                break


def _number(path: Path) -> Iterator[int]:
    try:
        yield int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return


def _of_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    """In MiB: of the job on this node, or of each of its cores there."""
    for name, times in (("SLURM_MEM_PER_NODE", "1"), ("SLURM_MEM_PER_CPU", environment.get("SLURM_CPUS_ON_NODE", ""))):
        given = environment.get(name, "")
        if given.isdigit() and times.isdigit():
            yield int(given) * int(times) * 2**20
