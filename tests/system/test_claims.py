"""Claims under random kills and stops: no work lost, none done twice for nothing, none held for ever."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convergence.system import claims
from convergence.system.claims import holder, only_one

# How long the storm lasts, and how many processes are in it: CONVERGENCE_STORM=120,16 is the long way.
SECONDS, PROCESSES = (int(n) for n in os.environ.get("CONVERGENCE_STORM", "8,6").split(","))
LEASE = 2.0

# Works off units 0, 1, 2, … of a folder until it is told to stop; each begins with a line in the log.
WORKER = f"""
import os, sys, time
from pathlib import Path
from convergence.system import claims
from convergence.system.files import write_atomic
claims.LEASE = {LEASE}
place = Path(sys.argv[1])
unit = 0
while not (place / "stop").exists():
    done = place / f"unit-{{unit:05d}}"
    if not done.exists():
        with claims.only_one(place / f"lock-{{unit:05d}}", ""):
            if not done.exists():
                with open(place / "log", "a") as log:
                    log.write(f"{{unit}} {{os.getpid()}}\\n")
                time.sleep(0.02)
                write_atomic(done, lambda path: path.write_text("whole" * 1000))
    unit += 1
"""


def start(place: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(place)], stderr=subprocess.PIPE)


def test_processes_that_are_killed_and_stopped_at_random_lose_no_work_and_hold_no_claim_for_ever(
    tmp_path: Path,
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    workers = [start(tmp_path) for _ in range(PROCESSES)]
    while not (tmp_path / "unit-00000").exists():
        time.sleep(0.01)
    blows, end = 0, time.monotonic() + SECONDS
    stopped: list[tuple[float, subprocess.Popen[bytes]]] = []
    try:
        while time.monotonic() < end:
            time.sleep(rng.uniform(0, 0.3))
            victim = rng.randrange(PROCESSES)
            blows += 1
            if rng.random() < 0.5:
                workers[victim].kill()
                workers[victim].wait()
                stopped = [(until, process) for until, process in stopped if process is not workers[victim]]
                workers[victim] = start(tmp_path)
            elif all(process is not workers[victim] for _, process in stopped):
                workers[victim].send_signal(signal.SIGSTOP)
                stopped.append((time.monotonic() + rng.uniform(0, 2 * LEASE), workers[victim]))
            for until, process in list(stopped):
                if until < time.monotonic():
                    process.send_signal(signal.SIGCONT)
                    stopped.remove((until, process))
        for _, process in stopped:
            process.send_signal(signal.SIGCONT)
        (tmp_path / "stop").touch()
        errors = [process.communicate(timeout=30)[1].decode() for process in workers]
    finally:
        for process in workers:
            process.kill()
    assert errors == [""] * PROCESSES, seed
    done = sorted(tmp_path.glob("unit-*"))
    assert len(done) > SECONDS, seed
    assert [int(path.name[-5:]) for path in done] == list(range(len(done))), (seed, "units in a row, none lost")
    assert all(path.read_text() == "whole" * 1000 for path in done), seed
    begun = (tmp_path / "log").read_text().splitlines()
    assert len(begun) - len(done) <= blows, (seed, "each blow costs one unit at most")


def test_a_claim_of_a_process_that_died_before_it_wrote_its_name_falls_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE", LEASE)
    (tmp_path / "lock").touch()
    start = time.monotonic()
    with only_one(tmp_path / "lock", ""):
        assert time.monotonic() - start < 15
        held = holder(tmp_path / "lock")
        assert held is not None
        assert held.pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_process_whose_claim_was_taken_over_leaves_the_new_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE", LEASE)
    path = tmp_path / "lock"
    code = (
        f"import sys, time\nfrom pathlib import Path\nfrom convergence.system import claims\nclaims.LEASE = {LEASE}\n"
        "with claims.only_one(Path(sys.argv[1]), ''):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdin is not None
    assert first.stdout.readline() == "held\n"
    first.send_signal(signal.SIGSTOP)
    with only_one(path, ""):
        first.stdin.write("\n")
        first.stdin.flush()
        first.send_signal(signal.SIGCONT)
        assert first.wait(20) == 0
        held = holder(path)
        assert held is not None
        assert held.pid == os.getpid()
