"""What scoring holds in memory, at its peak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PEAK = """
import numpy as np
from convergence import align
from convergence.system.memory import held

rng = np.random.default_rng(0)

def layers(*widths):
    return {f"layer{i}": rng.normal(size=(800, width)).astype(np.float32) for i, width in enumerate(widths)}

def score(x, y):
    align(x, y, metrics=["linear", "procrustes"], pairs="all", device="cpu", memory_gb=8)

score(layers(8), layers(8))  # what is loaded but once
x, y = layers(*WIDE), layers(*NARROW)
before = held()[1]
score(x, y)
print(held()[1] - before)
"""


def peak(wide: str, narrow: str) -> int:
    command = [sys.executable, "-c", _PEAK.replace("WIDE", wide).replace("NARROW", narrow)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process holds")
@pytest.mark.parametrize(("x", "y"), [("[600]", "[16] * 30"), ("[16] * 30", "[600]")], ids=["x", "y"])
def test_a_wide_layer_is_not_held_once_for_each_of_the_narrow_ones_beside_it(x: str, y: str) -> None:
    scatters = 5 * 600**2 * 8  # of the wide layer, of all folds
    assert peak(x, y) < 12 * scatters
