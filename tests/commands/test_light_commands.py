"""A light command loads no heavy library: what is loaded is looked at, in a process of its own, not the clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HEAVY = ("torch", "torchvision", "timm", "pandas", "pyarrow", "matplotlib", "scipy", "sklearn")
NETWORKS = ("torchvision", "timm", "sklearn", "scipy.stats", "scipy.cluster", "sympy")
_PROGRAM = """
import sys
from convergence.commands.main import main
status = main(sys.argv[2:])
print("loaded:", *sorted(set(sys.argv[1].split(",")) & set(sys.modules)))
sys.exit(status)
"""


def loaded(words: list[str], unwanted: tuple[str, ...], folder: Path) -> list[str]:
    """Which of the unwanted modules a command loads."""
    command = [sys.executable, "-c", _PROGRAM, ",".join(unwanted), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("words", [["--help"], ["list", "datasets"]])
def test_help_and_lists_of_names_load_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    assert loaded(words, HEAVY, tmp_path) == []


@pytest.mark.parametrize("words", [["list", "metrics"], ["run", "--help"]], ids=" ".join)
def test_facts_and_options_are_read_without_tables_figures_and_solvers(words: list[str], tmp_path: Path) -> None:
    assert loaded(words, (*NETWORKS, "scipy", "pandas", "matplotlib"), tmp_path) == []


def test_a_comparison_of_recorded_responses_and_its_figures_load_no_libraries_of_networks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", layer=rng.normal(size=(60, 5)))
    run = ["run", "model=arrays", "model.files=[a.npz,b.npz]", "figures=false", "device=cpu"]
    assert loaded(run, (*NETWORKS, "matplotlib.pyplot"), tmp_path) == []
    assert loaded(["status"], HEAVY, tmp_path) == []
    assert loaded(["figure", "outputs"], NETWORKS, tmp_path) == []
