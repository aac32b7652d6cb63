"""What the commands say, and where: sentences on stderr, tables on stdout, both plain off a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from glob import glob
from pathlib import Path
from typing import TextIO

_WIDTH = 80


def say(sentence: str) -> None:
    """One sentence to the user, on stderr."""
    print(f"convergence: {' '.join(sentence.split())}", file=sys.stderr)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at the moment: a caller may have replaced it since."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_plainly() -> None:
    """Messages of the package as plain sentences on stderr."""
    log = logging.getLogger("convergence")
    if not log.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


def show(
    rows: Iterable[Sequence[str]], *, heads: Sequence[str] = (), right: Sequence[int] = (), wide: int = -1
) -> None:
    """Print a table: within the terminal's width on a terminal, a row a line elsewhere.

    Parameters
    ----------
    right : numbers of the columns that are aligned to the right.
    wide : number of the column that takes what room is left, and is folded where it does not fit.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=10_000, color_system=None)
    rows = list(rows)
    count = len(rows[0]) if rows else len(heads)
    table = Table(box=None, show_header=bool(heads), pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i in range(count):
        table.add_column(
            heads[i] if heads else "",
            justify="right" if i in right else "left",
            no_wrap=i != wide % count,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def common_folder(places: Sequence[str]) -> Path:
    """The folder that the figures of one run, or of several, belong into."""
    found = [Path(p).resolve() for place in places for p in glob(place, recursive=True)]
    folders = [p if p.is_dir() else p.parent for p in found]
    if len(folders) == 1:
        inner = [p.parent for p in folders[0].rglob("results.parquet")]
        return inner[0] if len(inner) == 1 else folders[0]
    return Path(os.path.commonpath(folders))
