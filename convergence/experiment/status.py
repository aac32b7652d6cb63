"""What is done, running, failed and missing: of a run, of a population, or of all under a folder."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from convergence.results.plan import read_plan
from convergence.system.claims import holder
from convergence.system.errors import UserError
from convergence.system.files import write_atomic

MANIFEST = "manifest.json"  # the last file that a run writes
FAILED = "failed.json"
LOCK = "lock"


class State(Enum):
    done = "done"
    running = "running"
    failed = "failed"
    missing = "missing"


@dataclass(frozen=True)
class Run:
    """A run folder as it stands: ``note`` says where it runs, or why it failed."""

    name: str
    folder: Path
    state: State
    note: str = ""


@contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Leave word in the run's folder if the work within fails. A job that is requeued or stopped has not failed."""
    (folder / FAILED).unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        what = {"error": " ".join(str(error).split()), "host": socket.gethostname(), "time": time.time()}
        with suppress(OSError, UserError):  # the disk that is full cannot take this either
            write_atomic(folder / FAILED, lambda path: path.write_text(json.dumps(what)))
        raise


def of(folder: Path, name: str | None = None) -> Run:
    """The state of one run folder."""
    name = name or folder.name
    if (folder / MANIFEST).exists():
        return Run(name, folder, State.done)
    claim = holder(folder / LOCK)
    if claim is not None and claim.alive:
        return Run(name, folder, State.running, f"on {claim.host}, process {claim.pid}")
    with suppress(OSError, ValueError, KeyError):
        return Run(name, folder, State.failed, json.loads((folder / FAILED).read_text())["error"])
    if claim is not None:
        return Run(name, folder, State.failed, f"was killed on {claim.host}, or that machine went down")
    shards = len(list((folder / "shards").glob("*.parquet")))
    return Run(name, folder, State.missing, f"{shards} of its shards are there" if shards else "")


# ---------------------------------------------------------------- plans


def survey(place: Path) -> dict[str, list[Run]]:
    """States of all runs at or under ``place``, by the population that planned them ("" for those of none)."""
    folders = [place, *_folders(place), *(inner for outer in _folders(place) for inner in _folders(outer))]
    plans = {folder: plan for folder in folders if (plan := read_plan(folder)) is not None}
    found = {str(folder): [of(run, name) for run, name in plan.items()] for folder, plan in plans.items()}
    planned = {run for plan in plans.values() for run in plan}
    single = [f for f in folders if f not in planned and f not in plans and _is_run(f)]
    return found | ({"": [of(folder) for folder in single]} if single else {})


def _folders(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")) if place.is_dir() else []


def _is_run(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in (MANIFEST, LOCK, FAILED, "shards"))


def counted(runs: Sequence[Run]) -> str:
    """As in "20 done, 2 running, 1 failed, 5 missing"."""
    count = Counter(run.state for run in runs)
    return ", ".join(f"{count[state]} {state.value}" for state in State if count[state] or state is State.done)
