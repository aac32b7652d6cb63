"""A light command loads no heavy library: what is loaded is looked at, in a process of its own, not the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convergence import __version__
from convergence.commands.main import main

HEAVY = ("hydra", "omegaconf", "torch", "torchvision", "timm", "pandas", "pyarrow", "matplotlib", "scipy", "sklearn")
NETWORKS = ("torchvision", "timm", "sklearn", "scipy.stats", "scipy.cluster", "sympy")
_PROGRAM = """
import json, sys
from convergence.commands.main import main
worst = 0
for words, unwanted in json.loads(sys.argv[1]):
    worst = max(worst, main(words))
    print("loaded:", *sorted(set(unwanted) & set(sys.modules)))
sys.exit(worst)
"""
Step = tuple[list[str], tuple[str, ...]]  # a command, and modules that neither it nor those before it load


def loaded(folder: Path, *steps: Step) -> list[list[str]]:
    """Which of its unwanted modules are there after each command; all run in one process, one after the other."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(steps)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == (steps[-1][0] == ["runn"]), done.stderr
    return [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded:")]


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["list", "--help"], ["list", "datasets"], ["status"], ["runn"]], ids=" ".join
)
def test_help_lists_of_names_and_refusals_load_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "outputs" / "depth" / "run" / "shards").mkdir(parents=True)
    assert loaded(tmp_path, (words, HEAVY)) == [[]]


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"convergence {__version__}\n"


def test_facts_and_options_are_read_without_tables_figures_and_solvers(tmp_path: Path) -> None:
    unwanted = (*NETWORKS, "scipy", "pandas", "matplotlib")
    steps = ((["list", "metrics"], unwanted), (["run", "--help"], unwanted))
    assert loaded(tmp_path, *steps) == [[], []]


def test_a_run_that_trains_loads_neither_the_compiler_nor_what_reads_other_images(tmp_path: Path) -> None:
    recipe = ["model=tiny_vgg", "model.training.epochs=1", "dataset.train_images=64", "dataset.stimuli=60"]
    run = ["run", "dataset=digits", "metric=procrustes", "figures=false", "device=cpu", *recipe]
    unwanted = ("torch._dynamo", "sklearn", "scipy.ndimage", "scipy.stats", "timm", "matplotlib.pyplot")
    assert loaded(tmp_path, (run, unwanted)) == [[]]


def test_a_comparison_of_recorded_responses_and_its_figures_load_no_libraries_of_networks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", layer=rng.normal(size=(60, 5)))
    run = ["run", "model=arrays", "model.files=[a.npz,b.npz]", "figures=false", "device=cpu"]
    steps = ((run, (*NETWORKS, "matplotlib.pyplot")), (["figure", "outputs"], NETWORKS))
    assert loaded(tmp_path, *steps) == [[], []]
    assert loaded(tmp_path, (["status"], HEAVY)) == [[]]
