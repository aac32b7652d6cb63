"""Tables as lines of text, by rich, for the terminal and for what reads its output."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

WIDTH = 80  # of what is written to be read
_ENDLESS = 10_000


def table(
    rows: Iterable[Sequence[str]],
    *,
    heads: Sequence[str] = (),
    right: Sequence[int] = (),
    folded: int | None = None,
    width: int = WIDTH,
) -> list[str]:
    """The lines of a table.

    Parameters
    ----------
    right : numbers of the columns that are aligned to the right.
    folded : number of the column that takes the room that is left, and is folded where a text does not fit.
    width : columns of the terminal.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    made = Table(box=box.SIMPLE_HEAD if heads else None, show_header=bool(heads), show_edge=False, pad_edge=False)
    made.padding = (0, 1 if heads else 2, 0, 0)  # type: ignore[assignment]
    for i in range(len(heads) or max(map(len, rows), default=0)):
        made.add_column(
            heads[i] if heads else "",
            justify="right" if i in right else "left",
            no_wrap=i != folded,
            overflow="fold" if i == folded else "ellipsis",
        )
    for row in rows:
        made.add_row(*row)
    console = Console(width=width, color_system=None, highlight=False, markup=False, emoji=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(made)
    return [line.rstrip() for line in captured.get().splitlines()]


def show(rows: Iterable[Sequence[str]], *, heads: Sequence[str] = (), right: Sequence[int] = (), folded: int) -> None:
    """Print a table: within the terminal's width on a terminal, a row a line elsewhere."""
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else _ENDLESS
    for line in table(rows, heads=heads, right=right, folded=folded, width=width):
        print(line)
