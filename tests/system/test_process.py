"""How a process ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LEAVES = """
import atexit, sys
from convergence.system.process import leave, prepare
prepare()
atexit.register(print, "registered")
print("written")
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [("leave(0)", 0), ("leave(3)", 3), ("leave(130)", 130), ("raise ValueError", 1), ("sys.exit(4)", 4), ("", 0)],
)
def test_a_process_ends_with_its_status_after_all_that_is_written_and_registered(end: str, status: int) -> None:
    ended = subprocess.run([sys.executable, "-c", _LEAVES + end], capture_output=True, text=True, timeout=60)
    assert ended.returncode == status
    assert ended.stdout == "written\nregistered\n"


def test_a_process_whose_reader_has_gone_ends_too() -> None:
    command = [sys.executable, "-c", _LEAVES + "print('x' * 100_000); leave(0)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) != 0
