"""One claim judged on a table, and scores that hold or break it."""

from __future__ import annotations

import pandas as pd

from convergence.report.claims import CLAIMS
from convergence.report.evidence import Claim, Verdict, judge
from tests.support import synthetic

YES, NO, OPEN = Verdict.supported, Verdict.not_supported, Verdict.cannot_tell


def judged(number: int, table: pd.DataFrame) -> Claim:
    (claim,) = judge([CLAIMS[number - 1].evidence(table)])
    assert claim.number == number
    return claim


def levels(linear: float, procrustes: float, matching: float):
    heights = dict(zip(synthetic.METRICS, (linear, procrustes, matching), strict=True))
    return lambda metric, a, b: heights[metric]


def falling(metric: str, a: float, b: float) -> float:
    return 0.9 - 0.4 * (a + b) / 2


def diagonal(metric: str, a: float, b: float) -> float:
    return 0.9 - abs(a - b)
