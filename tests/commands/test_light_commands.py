"""A light command loads no heavy library: what is loaded is looked at, in a process of its own, not the clock."""

from __future__ import annotations

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
    assert done.returncode == (words == ["runn"]), done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["list", "--help"], ["list", "datasets"], ["status"], ["runn"]], ids=" ".join
)
def test_help_lists_of_names_and_refusals_load_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "outputs" / "depth" / "run" / "shards").mkdir(parents=True)
    assert loaded(words, HEAVY, tmp_path) == []


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"convergence {__version__}\n"


@pytest.mark.parametrize("words", [["list", "metrics"], ["run", "--help"]], ids=" ".join)
def test_facts_and_options_are_read_without_tables_figures_and_solvers(words: list[str], tmp_path: Path) -> None:
    assert loaded(words, (*NETWORKS, "scipy", "pandas", "matplotlib"), tmp_path) == []


def test_a_run_that_trains_loads_neither_the_compiler_nor_what_reads_other_images(tmp_path: Path) -> None:
    recipe = ["model=tiny_vgg", "model.training.epochs=1", "dataset.train_images=64", "dataset.stimuli=60"]
    run = ["run", "dataset=digits", "metric=procrustes", "figures=false", "device=cpu", *recipe]
    unwanted = ("torch._dynamo", "sklearn", "scipy.ndimage", "scipy.stats", "timm", "matplotlib.pyplot")
    assert loaded(run, unwanted, tmp_path) == []


def test_a_comparison_of_recorded_responses_and_its_figures_load_no_libraries_of_networks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", layer=rng.normal(size=(60, 5)))
    run = ["run", "model=arrays", "model.files=[a.npz,b.npz]", "figures=false", "device=cpu"]
    assert loaded(run, (*NETWORKS, "matplotlib.pyplot"), tmp_path) == []
    assert loaded(["status"], HEAVY, tmp_path) == []
    assert loaded(["figure", "outputs"], NETWORKS, tmp_path) == []
