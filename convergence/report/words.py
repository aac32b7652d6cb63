"""The report's words and numbers, the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convergence.results.numbers import NONE, number

if TYPE_CHECKING:
    from convergence.report.evidence import Claim, Part

TITLE = "Convergent learning: seven claims"
EFFECT = "effect [95 %]"
HOW = (
    "Intervals are 95 %. Over networks: each network is left out in turn (jackknife, Student's t). Over stimuli: "
    "from the scores of the folds, corrected for the training sets that they share; it holds for these very "
    "networks, and a bootstrap over stimuli would need scores by image. Over shifts: each shift is left out in turn. "
    "Spreads over folds are no intervals.",
    "p is twice the one-sided p of the claim's direction, at most 1; where a claim has parts, the largest of theirs. "
    "Holm: adjusted for all claims of this report.",
    "Supported: all parts have a Holm-adjusted p of 0.05 or less. Not supported: the data speak against a part, or "
    "its effect lies within what is stated to be of no importance. Cannot tell: rows are missing, or the interval "
    "includes both.",
)
_MARKS = {"supported": "✓", "not supported": "✗", "cannot tell": "?"}


def effect(claim: Claim) -> str:
    """The effect and its interval."""
    return NONE if claim.effect is None else with_interval(claim.effect, claim.interval)


def with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """``0.52 [0.40, 0.64]``, or the number alone; three decimals where all are small. The minus is a true one."""
    numbers = [value, *(interval or ())]
    decimals = 3 if max(map(abs, numbers)) < 0.095 else 2
    first, *ends = (number(one, decimals) for one in numbers)
    return f"{first} [{', '.join(ends)}]" if ends else first


def of_part(part: Part) -> str:
    """A part's effect and its interval."""
    estimate = part.estimate
    return with_interval(estimate.value, None if np.isnan(estimate.error) else estimate.interval)


def p_value(p: float | None) -> str:
    """Three decimals, or less than 0.001."""
    if p is None or np.isnan(p):
        return NONE
    return "<0.001" if p < 0.0005 else number(p, 3)


def over(part: Part) -> str:
    """What a part's interval is over."""
    return part.estimate.over or NONE


def mark(claim: Claim) -> str:
    """The verdict as one character."""
    return _MARKS[claim.verdict.value]


def what(claim: Claim) -> str:
    """The effect's name and what its interval is over."""
    if not claim.what:
        return ""
    return claim.what + (f", interval over {claim.over}" if claim.over else ", no interval")


def what_and_why(claim: Claim) -> str:
    """The effect's name, and the reason for the verdict."""
    return ". ".join(filter(None, (what(claim), claim.reason)))


def facts(claim: Claim) -> list[tuple[str, str]]:
    """Names and values of what is known of a claim."""
    basis = [("Rests on", str(claim.basis))]
    if not claim.what:
        return basis
    return [
        (claim.what[:1].upper() + claim.what[1:], effect(claim)),
        ("Interval over", claim.over or "no interval"),
        ("p", p_value(claim.p)),
        ("p, Holm", p_value(claim.p_holm)),
        *basis,
    ]
