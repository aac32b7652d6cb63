"""``convergence report``: tests the paper's claims on the results of runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convergence.commands.output import common_folder

_ABOUT = """\
Tests the paper's seven claims on the results of these runs (folders, globs; all
under outputs/ without any), prints a table, and writes report.md, report.html
and their figures: beside the results of one run, above those of several, or
into --output.
"""


def add(commands: Any) -> None:
    """Declare ``report``."""
    parser = commands.add_parser(
        "report",
        help="test the paper's claims on the results of runs",
        description=_ABOUT,
        usage="convergence report [FOLDER …] [--output FOLDER]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("places", nargs="*", metavar="FOLDER", default=["outputs"])
    parser.add_argument("--output", metavar="FOLDER", help="where the report is written")
    parser.set_defaults(call=report)


def report(options: Any) -> int:
    """Write the report; returns the exit status."""
    from convergence import report as reports
    from convergence.results import table as results

    places = [str(Path(place).expanduser()) for place in options.places]
    table = results.read(places)
    folder = Path(options.output).expanduser() if options.output else common_folder(places)
    text, paths = reports.write(table, folder)
    print(text)
    for path in paths:
        print(f"report   {path}")
    return 0
