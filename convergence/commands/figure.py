"""``convergence figure``: draws again from results alone, or a sheet of a data set's shifts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convergence.commands.output import common_folder
from convergence.commands.words import call, typed
from convergence.system.errors import UserError
from convergence.system.process import showing_progress

_ABOUT = """\
Draws the figures of these runs (folders, globs) from parquet alone; or a sheet
of a data set's shifts at all levels (of a folder named shifts: ./shifts).
"""


def add(commands: Any) -> None:
    """Declare ``figure``; what follows ``shifts`` are Hydra's flags and overrides."""
    parser = commands.add_parser(
        "figure",
        help="draw again from the results of runs; or `figure shifts`: every shift and level of a data set",
        usage="convergence figure FOLDER …\n       convergence figure shifts [overrides]",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prefix_chars="\0",  # flags are Hydra's
        add_help=False,
    )
    parser.add_argument("places", nargs="*", metavar="FOLDER")
    parser.set_defaults(call=lambda options: figure(options.places, parser.format_help()))


def figure(places: Sequence[str], about: str = _ABOUT) -> int:
    """Draw, or print what the command is about; returns the exit status."""
    if not places:
        raise UserError("figure needs the folder of a run, such as `convergence figure outputs/depth`.")
    if places[0] == "shifts":
        return _shifts(places[1:])
    if set(places) & {"-h", "--help"}:
        print(about, end="")
        return 0
    wrong = next((place for place in places if place.startswith("-")), None)
    if wrong is not None:
        raise UserError(f"figure has no option {wrong}; see convergence figure --help.")
    from convergence import figures
    from convergence.figures import figure1
    from convergence.results import table as results
    from convergence.results.groups import comparable
    from convergence.results.plan import read_plan

    places = [str(Path(place).expanduser()) for place in places]
    table = results.read(places)
    folder = common_folder(places)
    for axis, rows in table.groupby("axis"):
        several = table.run.nunique() > 1 and read_plan(folder) is None
        for path in figures.draw(rows, folder / (f"{axis}-figures" if several else "")):
            print(path)
    for name, rows in comparable(table, ("dataset", "models")).items():
        if set(figure1.AXES) <= set(rows.axis):
            for path in figure1.draw(rows, folder / name):
                print(path)
    return 0


def _shifts(words: Sequence[str]) -> int:
    from convergence.axes.splits import split_of
    from convergence.figures import shifts
    from convergence.stimuli.samples import samples
    from convergence.system.device import resolve_device
    from convergence.system.options import check

    composed: list[Any] = []
    call(["dataset.levels=all", *words], composed.append)
    for cfg in composed:  # none after --help or --cfg
        made = typed(cfg)
        check(made)
        with showing_progress(made.progress):
            rows = samples(made.dataset, resolve_device(made.device), split_of(made))
        for path in shifts.sheet(rows, Path(made.output) / "shifts" / made.dataset.name):
            print(path)
    return 0
