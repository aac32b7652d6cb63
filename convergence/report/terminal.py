"""The report as text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from convergence.report import words
from convergence.report.evidence import Claim
from convergence.report.sections import Section

_WIDTH, _CLAIM = 80, 25


def render(sections: Sequence[Section]) -> str:
    """A table for each data set; under each claim why, and the rows that it rests on."""
    lines: list[str] = []
    for section in sections:
        lines += ["", f"{words.TITLE}, on {section.dataset}"]
        for note in section.notes:
            lines += textwrap.wrap(note, _WIDTH)
        lines += ["", _row("", "claim", "verdict", "effect [95 %]", "p", "Holm"), "-" * _WIDTH]
        for claim in section.claims:
            lines += [*_claim(claim), ""]
    lines += textwrap.wrap(words.HOW[1] + " Each claim's test is explained in the report itself.", _WIDTH)
    return "\n".join(lines)


def _row(number: str, claim: str, verdict: str, effect: str, p: str, holm: str) -> str:
    return f"{number:<3}{claim:<{_CLAIM}}  {verdict:<13} {effect:<23}{p:>6}{holm:>7}".rstrip()


def _claim(claim: Claim) -> list[str]:
    first, *rest = textwrap.wrap(claim.text, _CLAIM)
    shown = (claim.verdict.value, words.effect(claim), words.p_value(claim.p), words.p_value(claim.p_holm))
    lines = [_row(str(claim.number), first, *shown), *(_row("", line, "", "", "", "") for line in rest)]
    for text in (words.what(claim), claim.reason, claim.basis):
        lines += textwrap.wrap(text, _WIDTH, initial_indent="   ", subsequent_indent="     ")
    return lines
