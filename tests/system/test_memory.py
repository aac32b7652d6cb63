"""Memory stays with the process, and with those that it starts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
{setup}
def work():
    for n in range(3):
        b'x' * (2**26 + n)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_KEEP = "from convergence.system.memory import keep_memory\nkeep_memory()"
_PARENT = f"{_KEEP}\nimport subprocess\nsubprocess.run([sys.executable, '-c', sys.argv[1]], check=True)\nsys.exit()"


def faults(setup: str, *arguments: str) -> int:
    """Pages that the kernel had to map again for arrays of a size that had been freed before."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", _FAULTS.format(setup=setup), *arguments]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_what_is_freed_is_used_again_without_the_kernel_here_and_in_child_processes() -> None:
    freed = faults("")
    assert faults(_KEEP) < freed / 10
    assert faults(_PARENT, _FAULTS.format(setup="")) < freed / 10


_HOLES = """
from convergence.system.memory import held
from convergence.system.memory import ease, keep_memory, within
keep_memory()
with within({room}):
    blocks = [b'x' * (2**20 + n) for n in range(200)]
    del blocks[::2]  # holes
    ease()
    print(held()[0])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_where_memory_is_short_what_is_freed_goes_back_to_the_kernel() -> None:
    short, ample = (
        int(subprocess.run([sys.executable, "-c", _HOLES.format(room=room)], check=True, capture_output=True).stdout)
        for room in (2**24, 2**40)
    )
    assert ample - short > 2**25
