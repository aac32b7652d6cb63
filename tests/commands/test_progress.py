"""Progress: shown unless it is switched off, from Python too; plain lines off a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence import run
from convergence.commands.words import for_hydra
from convergence.experiment.compose import compose
from convergence.system import progress
from convergence.system.errors import UserError
from convergence.system.process import showing_progress, shows_progress

_FACTORY = """
from convergence.system.process import shows_progress

def images():
    raise ValueError(f"progress is shown: {shows_progress()}")
"""


@pytest.mark.parametrize("shown", [True, False])
def test_a_run_from_python_honours_the_option(shown: bool, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(_FACTORY)
    words = ["dataset=module", f"dataset.factory={tmp_path}/own.py:images", f"output={tmp_path}", f"progress={shown}"]
    with pytest.raises(UserError, match=f"progress is shown: {shown}"):
        run(compose(for_hydra(words)[1]))
    assert shows_progress()


def test_off_a_terminal_a_line_is_printed_at_most_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(range(0, 1000, 4))  # seconds
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.progress("Scoring", 10, "pairs") as advance:
        for _ in range(10):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Scoring: 3/10 pairs, about 28 s left"
    assert 2 <= len(lines) <= 4
    with showing_progress(False), progress.progress("Scoring", 10, "pairs") as advance:
        for _ in range(10):
            advance(1)
    assert capsys.readouterr().err == ""
