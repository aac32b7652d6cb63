"""The report as text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from convergence.report import words
from convergence.report.evidence import Claim
from convergence.report.sections import Section
from convergence.system.terminal import WIDTH, table


def render(sections: Sequence[Section]) -> str:
    """For each data set a table of its claims; below it, for each claim why, and the rows that it rests on."""
    lines: list[str] = []
    for section in sections:
        lines += ["", f"{words.TITLE}, on {section.dataset}"]
        for note in section.notes:
            lines += textwrap.wrap(note, WIDTH)
        rows = [_row(claim) for claim in section.claims]
        lines += ["", *table(rows, heads=("", "claim", "verdict", words.EFFECT, "p", "Holm"), right=(4, 5), folded=1)]
        for claim in section.claims:
            lines += ["", *_why(claim)]
        lines.append("")
    lines += textwrap.wrap(words.HOW[1] + " Each claim's test is explained in the report itself.", WIDTH)
    return "\n".join(lines)


def _row(claim: Claim) -> list[str]:
    p, holm = words.p_value(claim.p), words.p_value(claim.p_holm)
    return [str(claim.number), claim.text, claim.verdict.value, words.effect(claim), p, holm]


def _why(claim: Claim) -> list[str]:
    texts = [text for text in (words.what(claim), claim.reason, str(claim.basis)) if text]
    lines = [line for text in texts for line in textwrap.wrap(text, WIDTH - 3, subsequent_indent="  ")]
    return [f"{claim.number if i == 0 else '':<3}{line}" for i, line in enumerate(lines)]
