"""The report as Markdown, and as one page of HTML that holds everything itself: ``templates/`` filled in."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from convergence.report import words
from convergence.report.claims import EXPLAINED
from convergence.report.sections import Section


def page(sections: Sequence[Section]) -> str:
    """One page of HTML, readable on a phone and in print; nothing in it points outside."""
    return _environment(autoescape=True).get_template("page.html.j2").render(sections=sections)


def markdown(sections: Sequence[Section], folder: Path) -> str:
    """Tables, explanations and figures, whose files are named relative to ``folder``."""
    environment = _environment(autoescape=False, finalize=_without_markup)
    return environment.get_template("report.md.j2").render(sections=sections, folder=folder)


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("convergence.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        **options,
    )
    environment.globals.update(words=words, explained=EXPLAINED)
    environment.filters["base64"] = lambda path: base64.b64encode(path.read_bytes()).decode()
    environment.filters["within"] = lambda path, folder: Markup(path.relative_to(folder).as_posix())
    return environment


def _without_markup(value: Any) -> str:
    """Without what Markdown would take for markup, in names that come from users' files."""
    if isinstance(value, Markup):
        return str(value)
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("_", "\\_")
