"""The Dockerfile and the Apptainer definition: what they copy is there, and what they start works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / "Dockerfile").read_text()
APPTAINER = (ROOT / "convergence.def").read_text()


def copied() -> dict[str, set[str]]:
    """What each of the two files takes from the checkout."""
    lines = [line.split()[1:-1] for line in DOCKER.splitlines() if line.startswith("COPY ")]
    section = APPTAINER.split("%files\n")[1].split("\n\n")[0]
    return {
        "Dockerfile": {path for line in lines for path in line},
        "convergence.def": {line.split()[0] for line in section.splitlines()},
    }


def test_both_copy_the_same_and_all_of_it_is_there() -> None:
    docker, apptainer = copied().values()
    assert docker == apptainer
    assert [path for path in docker if not (ROOT / path).exists()] == []


def test_nothing_that_is_copied_is_ignored() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_through == copied()["Dockerfile"]


@pytest.mark.parametrize("text", [DOCKER, APPTAINER], ids=["Dockerfile", "convergence.def"])
def test_both_install_the_pinned_program_with_extras_that_it_has(text: str) -> None:
    (extras,) = re.findall(r'pip install --no-cache-dir -c constraints\.txt "\.\[(.*)\]"', text)
    assert set(extras.split(",")) <= set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )


def test_what_they_start_is_the_program() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKER, re.M)
    (default,) = re.findall(r"^CMD (.*)$", DOCKER, re.M)
    words = json.loads(entry)
    assert f'exec {" ".join(words)} "$@"' in APPTAINER
    told = subprocess.run(
        [sys.executable, *words[1:], *json.loads(default)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert told.returncode == 0
    assert "COMMAND" in told.stdout
