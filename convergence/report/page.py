"""The report as one self-contained page of HTML: figures inside, readable on a phone, and in print."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from convergence.report import words
from convergence.report.claims import EXPLAINED
from convergence.report.evidence import Claim, Verdict
from convergence.report.sections import Picture, Section

_MARKS = {Verdict.supported: "✓", Verdict.not_supported: "✗", Verdict.cannot_tell: "?"}


def render(sections: Sequence[Section]) -> str:
    """The page; nothing in it points outside."""
    style = (files("convergence.report") / "page.css").read_text(encoding="utf-8")
    body = "\n".join(_section(i, section) for i, section in enumerate(sections))
    how = "\n".join(f"<li>{escape(text)}</li>" for text in words.HOW)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{words.TITLE}</title>
<style>
{style}</style>
</head>
<body>
<header><h1>{words.TITLE}</h1></header>
<main>
{body}
<section class="how" aria-labelledby="how">
<h2 id="how">How to read this</h2>
<ul>
{how}
</ul>
</section>
</main>
</body>
</html>
"""


def _section(i: int, section: Section) -> str:
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in section.notes)
    rows = "\n".join(_row(i, claim) for claim in section.claims)
    claims = "\n".join(_claim(i, claim) for claim in section.claims)
    pictures = "\n".join(_picture(picture) for picture in section.pictures)
    shown = f'<h3 class="figures">Figures</h3>\n{pictures}' if pictures else ""
    return f"""<section aria-labelledby="data-{i}">
<h2 id="data-{i}">{escape(section.dataset)}</h2>
{notes}
<table class="verdicts">
<caption>Verdicts</caption>
<thead><tr><th scope="col">Claim</th><th scope="col">Verdict</th><th scope="col" class="wide">Effect [95&nbsp;%]</th>\
<th scope="col" class="wide">p</th><th scope="col" class="wide">Holm</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{claims}
{shown}
</section>"""


def _row(i: int, claim: Claim) -> str:
    numbers = (words.effect(claim), words.p_value(claim.p), words.p_value(claim.p_holm))
    wide = "".join(f'<td class="wide">{escape(n)}</td>' for n in numbers)
    link = f'<a href="#claim-{i}-{claim.number}">{claim.number}. {escape(claim.text)}</a>'
    return f'<tr><th scope="row">{link}</th><td>{_verdict(claim)}</td>{wide}</tr>'


def _verdict(claim: Claim) -> str:
    kind, mark = claim.verdict.name.replace("_", "-"), _MARKS[claim.verdict]
    return f'<span class="verdict {kind}"><span aria-hidden="true">{mark} </span>{claim.verdict.value}</span>'


def _claim(i: int, claim: Claim) -> str:
    facts = [("Rests on", claim.basis)]
    if claim.what:
        facts = [
            (claim.what[:1].upper() + claim.what[1:], words.effect(claim)),
            ("Interval over", claim.over or "no interval"),
            ("p", words.p_value(claim.p)),
            ("p, Holm", words.p_value(claim.p_holm)),
            *facts,
        ]
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    reason = f"<p>{escape(claim.reason)}</p>" if claim.reason else ""
    return f"""<article id="claim-{i}-{claim.number}">
<h3>{claim.number}. {escape(claim.text)}</h3>
<p>{_verdict(claim)}</p>
{reason}
<dl>{listed}</dl>
{_parts(claim)}<p class="explained">{escape(EXPLAINED[claim.number])}</p>
</article>"""


def _parts(claim: Claim) -> str:
    if len(claim.parts) < 2:
        return ""
    rows = "\n".join(
        f'<tr><th scope="row">{escape(part.what)}</th>'
        + _cells((words.of_part(part), part.estimate.over or "–", words.p_value(part.p)))
        + "</tr>"
        for part in claim.parts
    )
    return f"""<table class="parts">
<caption>Its parts</caption>
<thead><tr><th scope="col">Part</th><th scope="col">Effect [95&nbsp;%]</th>\
<th scope="col" class="wide">Interval over</th><th scope="col">p</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
"""


def _cells(texts: Iterable[str]) -> str:
    effect, over, p = (escape(text) for text in texts)
    return f'<td>{effect}</td><td class="wide">{over}</td><td>{p}</td>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode()
    return f"""<figure>
<img src="data:image/png;base64,{data}" alt="{escape(picture.shows)}">
<figcaption>{escape(picture.title)}: {escape(picture.run)}.</figcaption>
</figure>"""
