"""The rule: from estimates and their intervals to verdicts, adjusted for all claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.report.evidence import Evidence, Verdict, directed, holm, judge
from convergence.results.uncertainty import Estimate
from tests.support import synthetic
from tests.support.claims import NO, OPEN, YES, judged


@pytest.mark.parametrize("number", range(1, 8))
def test_without_rows_nobody_can_tell_and_what_to_run_is_said(number: int) -> None:
    claim = judged(number, synthetic.whole([]))
    assert claim.verdict is OPEN
    assert claim.effect is claim.interval is claim.p is claim.p_holm is None
    assert claim.basis == "no rows"
    assert "axis=" in claim.reason


def test_holm_is_the_adjustment_of_the_literature() -> None:
    # Worked by hand: 0.01·4, 0.02·3, then the largest so far, and never above 1.
    adjusted = holm([0.03, 0.01, np.nan, 0.02, 0.9])
    np.testing.assert_allclose(adjusted, [0.06, 0.04, np.nan, 0.06, 0.9])
    assert holm([np.nan]).tolist() != holm([0.5]).tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_falls_below_p_nor_exceeds_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def one(estimate: Estimate, **options: float) -> Evidence:
    return Evidence(1, "", (directed("", estimate, "it is not", **options),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "least", "verdict"),
    [(3.0, 0.0, YES), (-3.0, 0.0, NO), (1.0, 0.0, OPEN), (3.0, 6.0, NO), (3.0, 4.0, YES)],
    ids=["above", "below", "both", "of no importance", "perhaps of importance"],
)
def test_a_verdict_is_where_the_interval_lies(value: float, least: float, verdict: Verdict) -> None:
    (claim,) = judge([one(Estimate(value, 1.0, 100, "x"), least=least)])
    assert claim.verdict is verdict


def test_many_claims_cost_a_weak_one_its_support() -> None:
    weak, none = Estimate(2.1, 1.0, 1000), Estimate(0.1, 1.0, 1000)
    assert judge([one(weak)])[0].verdict is YES
    claim, *_ = judge([one(weak), *[one(none)] * 6])
    assert claim.verdict is OPEN
    assert "adjusted for all claims" in claim.reason


@settings(max_examples=50, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 3), st.integers(1, 50), st.floats(-2, 2))
def test_p_is_below_5_percent_exactly_where_the_interval_is_on_that_side(
    value: float, error: float, freedom: int, threshold: float
) -> None:
    estimate = Estimate(value, error, freedom)
    low, high = estimate.interval
    assert (estimate.p_value(threshold, 1) < 0.05) == (low > threshold)
    assert (estimate.p_value(threshold, -1) < 0.05) == (high < threshold)
