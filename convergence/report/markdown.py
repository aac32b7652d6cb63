"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convergence.report import words
from convergence.report.claims import EXPLAINED
from convergence.report.evidence import Claim
from convergence.report.sections import Section


def render(sections: Sequence[Section], folder: Path) -> str:
    """Tables, explanations and figures, whose files are named relative to ``folder``."""
    lines = [f"# {words.TITLE}"]
    for section in sections:
        lines += ["", f"## {_plain(section.dataset)}", "", *(_plain(note) for note in section.notes), ""]
        lines += ["| | claim | verdict | effect [95 %] | p | Holm | rests on |", "|--|--|--|--|--|--|--|"]
        lines += [_row(claim) for claim in section.claims]
        for claim in section.claims:
            lines += _claim(claim)
        for picture in section.pictures:
            place = picture.path.relative_to(folder).as_posix()
            lines += ["", f"![{_plain(picture.shows)}](<{place}>)", "", f"*{picture.title}: {_plain(picture.run)}.*"]
    lines += ["", "## How to read this", "", *(f"- {text}" for text in words.HOW)]
    return "\n".join(lines) + "\n"


def _row(claim: Claim) -> str:
    p, holm = words.p_value(claim.p), words.p_value(claim.p_holm)
    cells = [str(claim.number), claim.text, f"**{claim.verdict.value}**", words.effect(claim), p, holm, claim.basis]
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _claim(claim: Claim) -> list[str]:
    lines = ["", f"### {claim.number}. {claim.text}: {claim.verdict.value}", "", _plain(EXPLAINED[claim.number])]
    lines += ["", _plain(". ".join(filter(None, (words.what(claim), claim.reason))))]
    if len(claim.parts) > 1:
        lines += ["", "| part | effect [95 %] | interval over | p |", "|--|--|--|--|"]
        for part in claim.parts:
            cells = (part.what, words.of_part(part), part.estimate.over or "–", words.p_value(part.p))
            lines.append("| " + " | ".join(_plain(cell) for cell in cells) + " |")
    return lines


def _plain(text: str) -> str:
    """Without what Markdown would take for markup, in names that come from users' files."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("_", "\\_")
