"""The paper's claims, tested on the user's own results: in the terminal, as Markdown, as one page of HTML."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from convergence.report import documents, terminal
from convergence.report.sections import Section, sections
from convergence.system.files import write_atomic

__all__ = ["Section", "sections", "write"]


def write(table: pd.DataFrame, folder: Path) -> tuple[str, list[Path]]:
    """``report.md`` and ``report.html`` under ``folder``; the text for the terminal, and the paths.

    The figures of each run are drawn under ``report-figures``; the page has them inside, the Markdown points to them.

    Raises
    ------
    UserError
        If there are no rows.
    """
    made = sections(table, folder / "report-figures")
    paths = []
    for name, text in (("report.md", documents.markdown(made, folder)), ("report.html", documents.page(made))):
        path = folder / name
        write_atomic(path, lambda p, t=text: p.write_text(t, encoding="utf-8"))  # type: ignore[misc]
        paths.append(path)
    return terminal.render(made), paths
