"""The wheel: what is installed from it works from any folder, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files and nothing else."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(place), str(ROOT)], capture_output=True, text=True, check=False
    )
    if built.returncode and "No matching distribution" in built.stderr:
        pytest.skip("the build needs setuptools from a package index, and none can be reached")
    assert built.returncode == 0, built.stderr
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(place / "site"), str(wheel)], check=True)
    return place / "site"


def command(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-m", "convergence", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )


@pytest.mark.slow
def test_an_installed_package_composes_its_config_from_any_folder(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import convergence; print(convergence.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    assert Path(where.stdout.strip()).is_relative_to(installed), "the checkout must not be what is tested"
    assert (installed / "convergence" / "conf" / "config.yaml").is_file()
    for group in ("model", "dataset", "metric", "axis"):
        shipped = {p.name for p in (installed / "convergence" / "conf" / group).glob("*.yaml")}
        assert shipped == {p.name for p in (ROOT / "conf" / group).glob("*.yaml")}
    composed = command(installed, tmp_path, "run", "--cfg", "job", "axis=training", "dataset=digits")
    assert composed.returncode == 0, composed.stderr
    assert "name: digits" in composed.stdout


@pytest.mark.slow
def test_an_installed_package_runs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    words = ("dataset=digits", "dataset.stimuli=60", "dataset.train_images=128", "model.training.epochs=1")
    done = command(installed, tmp_path, "run", *words, "model.layers=[conv1,fc]", "metric=procrustes")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "outputs").rglob("depth_profile.png"))
