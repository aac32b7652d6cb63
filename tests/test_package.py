"""The wheel: installed in an environment of its own, it works from any folder, without the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".venv", "outputs", "build", "dist", "__pycache__"}
_ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; what the wheel depends on is that of this environment."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"  # a copy, so that nothing of an earlier build gets into the wheel
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*SKIPPED, "*.egg-info", "tests"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(source)],
        capture_output=True,
        text=True,
        check=False,
        env=_ALONE,
    )
    if "setuptools" in built.stderr and ("No module named" in built.stderr or "Cannot import" in built.stderr):
        pytest.skip("the build needs setuptools, which this environment lacks")
    assert built.returncode == 0, built.stderr
    (wheel,) = place.glob("convergent_learning-*.whl")
    venv.create(place / "env", symlinks=True)
    python = place / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True, env=_ALONE)
    (site,) = (place / "env").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return place / "env"


def command(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, env=_ALONE)


@pytest.mark.slow
def test_the_wheel_brings_its_config_and_templates(installed: Path, tmp_path: Path) -> None:
    python = str(installed / "bin" / "python")
    where = command(tmp_path, python, "-c", "import convergence; print(convergence.__file__)")
    package = Path(where.stdout.strip()).parent
    assert package.is_relative_to(installed), "the checkout must not be what is tested"
    shipped = {str(p.relative_to(package / "conf")) for p in (package / "conf").rglob("*.yaml")}
    assert shipped == {str(p.relative_to(ROOT / "conf")) for p in (ROOT / "conf").rglob("*.yaml")}
    data = {str(p.relative_to(ROOT)) for p in (ROOT / "convergence").rglob("*") if p.suffix in (".css", ".j2")}
    assert {name for name in data if not (package.parent / name).is_file()} == set()


@pytest.mark.slow
def test_the_installed_command_helps_lists_composes_and_runs(installed: Path, tmp_path: Path) -> None:
    convergence = str(installed / "bin" / "convergence")
    told = command(tmp_path, convergence, "--help")
    assert told.returncode == 0, told.stderr
    assert "usage: convergence COMMAND" in told.stdout
    told = command(tmp_path, convergence, "list", "metrics")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("linear")
    told = command(tmp_path, convergence, "run", "--cfg", "job", "axis=training", "dataset=digits")
    assert told.returncode == 0, told.stderr
    assert "name: digits" in told.stdout
    small = ("dataset=digits", "dataset.stimuli=60", "dataset.train_images=128", "model.training.epochs=1")
    done = command(
        tmp_path,
        convergence,
        "run",
        *small,
        "model.layers=[conv1,fc]",
        "metric=procrustes",
        "figures=false",
        "output=my runs",
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "my runs").rglob("results.parquet"))
    done = command(tmp_path, convergence, "report", "my runs")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "my runs").rglob("depth_profile.png"))
    assert (next((tmp_path / "my runs").rglob("report.html"))).is_file()


def test_version_and_name_are_the_same_everywhere() -> None:
    import convergence

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "convergent-learning"
    assert project["version"] == convergence.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {project['version']}\n" in citation
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_dependency_groups_include_only_groups_that_there_are() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    included = {one["include-group"] for entries in groups.values() for one in entries if isinstance(one, dict)}
    assert included
    assert included <= set(groups)


def test_nothing_tells_anyone_to_install_somebody_elses_package() -> None:
    other = re.compile(r"pip install (-\S+ )*[\"']?convergence\b")
    texts = [p for p in ROOT.rglob("*") if p.suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".cff", ".j2")]
    texts = [p for p in texts if not SKIPPED & set(p.relative_to(ROOT).parts)]
    assert len(texts) > 100
    assert [str(p) for p in texts if other.search(p.read_text()) and p != Path(__file__)] == []
