"""``convergence status``: what is done, running, failed and missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convergence.experiment.status import Run, State, counted, survey
from convergence.system.errors import UserError
from convergence.system.terminal import show

_SHOWN = 20  # runs of one state that are named


def add(commands: Any) -> None:
    """Declare ``status``."""
    parser = commands.add_parser(
        "status",
        help="what is done, running, failed and missing",
        description="What is done, running, failed and missing: of a run, a population, or all under a folder.",
        usage="convergence status [FOLDER …]",
    )
    parser.add_argument("places", nargs="*", metavar="FOLDER", default=["outputs"])
    parser.set_defaults(call=lambda options: status(options.places))


def status(places: list[str]) -> int:
    """Print the states of all runs in these places; returns the exit status.

    Raises
    ------
    UserError
        If a folder holds no runs.
    """
    for place in places:
        found = survey(Path(place).expanduser())
        if not found:
            raise UserError(f"{place} holds no runs: name a run's folder, a population's, or the output folder.")
        for title, runs in found.items():
            print(f"{title or 'single runs'}: {counted(runs)}")
            rows = [row for state in State if state is not State.done for row in _rows(runs, state)]
            if rows:
                show(rows, folded=3)
    return 0


def _rows(runs: list[Run], state: State) -> list[list[str]]:
    those = [run for run in runs if run.state is state]
    rows = [["", state.value, run.name, run.note] for run in those[:_SHOWN]]
    return rows + ([["", state.value, f"… and {len(those) - _SHOWN} more", ""]] if len(those) > _SHOWN else [])
