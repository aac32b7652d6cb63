"""Each claim on tables where it holds, where it does not, and where nobody can tell; and the rule that decides."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from convergence.report.claims import CLAIMS, hierarchy
from convergence.report.evidence import Claim, Evidence, Verdict, directed, holm, judge
from convergence.results.accuracy import correlation
from convergence.results.divergence import divergences
from convergence.results.uncertainty import Estimate
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


# ---------------------------------------------------------------- claims 1 to 4: the depth axis


@pytest.mark.parametrize(
    ("score", "slopes", "verdict"),
    [
        (falling, 0.01, YES),
        (lambda m, a, b: 0.6, 0.005, NO),
        (lambda m, a, b: 0.5 + 0.3 * a, 0.01, NO),
        (lambda m, a, b: 0.6 if m == "linear" else falling(m, a, b), 0.005, NO),
        (lambda m, a, b: 0.8 - 0.1 * (a + b) / 2, 0.3, OPEN),
    ],
    ids=["falls", "flat", "rises", "flat under one metric", "networks differ"],
)
def test_1_alignment_decreases_with_depth(score, slopes: float, verdict: Verdict) -> None:
    claim = judged(1, synthetic.depth(score, slopes=slopes))
    assert claim.verdict is verdict
    assert claim.over == "4 networks"


def test_1_is_the_slope_that_was_put_in() -> None:
    claim = judged(1, synthetic.depth(falling, slopes=0, noise=1e-4))
    assert claim.effect == pytest.approx(-0.4, abs=1e-3)
    assert len(claim.parts) == 3
    assert claim.basis == f"{6 * 6 * 3 * 5 * 2:,} rows, 1 run, 6 pairs, 6 layers, M\xa0=\xa01,000"


@pytest.mark.parametrize(
    ("heights", "verdict"),
    [((0.7, 0.68, 0.4), YES), ((0.7, 0.5, 0.4), NO), ((0.7, 0.63, 0.4), OPEN), ((0.0, 0.0, 0.0), OPEN)],
    ids=["nearly", "far", "at the margin", "linear at 0"],
)
def test_2_procrustes_reaches_nearly_what_linear_reaches(heights: tuple, verdict: Verdict) -> None:
    claim = judged(2, synthetic.depth(levels(*heights), slopes=0.02))
    assert claim.verdict is verdict
    if heights[0]:
        assert claim.effect == pytest.approx(heights[1] / heights[0], abs=0.05)
    else:
        assert "nothing to reach" in claim.reason


@pytest.mark.parametrize(
    ("heights", "null", "verdict", "reason"),
    [
        ((0.8, 0.7, 0.5), 0.3, YES, "All 3 parts hold"),
        ((0.8, 0.7, 0.5), 0.6, NO, "within what a rotated basis reaches"),
        ((0.8, 0.5, 0.6), 0.3, NO, "soft matching is above Procrustes"),
        ((0.8, 0.7, 0.5), None, OPEN, "run with null=rotation"),
        ((0.8, 0.7, 0.5), 0.5, OPEN, "includes both"),
    ],
    ids=["privileged", "not privileged", "above Procrustes", "no null", "at the null"],
)
def test_3_matching_is_below_both_and_above_the_rotation_null(
    heights: tuple, null: float | None, verdict: Verdict, reason: str
) -> None:
    claim = judged(3, synthetic.depth(levels(*heights), null=null))
    assert claim.verdict is verdict
    assert reason.lower() in claim.reason.lower()


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(diagonal, YES), (lambda m, a, b: abs(a - b), NO), (lambda m, a, b: 0.5, OPEN)],
    ids=["own layer", "opposite layer", "any layer"],
)
def test_4_the_best_match_is_the_corresponding_layer(score, verdict: Verdict) -> None:
    claim = judged(4, synthetic.depth(score, noise=0.01))
    assert claim.verdict is verdict
    assert "Within one architecture only" in claim.reason


def test_4_three_layers_tell_nothing() -> None:
    assert judged(4, synthetic.depth(diagonal, layers=3)).verdict is OPEN


def test_4_across_architectures_is_a_part_of_its_own() -> None:
    across = synthetic.depth(lambda m, a, b: abs(a - b), models=("a", "b"), seeds=3).assign(run="s")
    within = synthetic.depth(diagonal, seeds=3)
    assert judged(4, within).verdict is YES
    both = judged(4, pd.concat([within, across], ignore_index=True))
    assert len(both.parts) == 6
    assert both.verdict is NO
    assert "across architectures" in both.what


@pytest.mark.parametrize("seed", range(4))
def test_4_its_p_is_that_of_enumeration_by_hand(seed: int) -> None:
    table = synthetic.depth(lambda m, a, b: 0.5, seeds=2, layers=5, metrics=["linear"], noise=0.1, seed=seed)
    scores = table.groupby(["source_weights", "target_weights", "source_layer", "target_layer"]).score.mean()

    def share(order: tuple[int, ...]) -> float:
        hits = []
        for (_, _, target), part in scores.groupby(level=[0, 1, 3]):
            best = int(part.idxmax()[2].removeprefix("net"))
            hits.append(abs(order[best] - int(target.removeprefix("net"))) <= 1)
        return float(np.mean(hits))

    observed = share(tuple(range(5)))
    shares = np.array([share(order) for order in permutations(range(5))])
    studies, _ = hierarchy._matches(table)
    upper, lower, chance = hierarchy.null(studies)
    assert upper == pytest.approx((shares >= observed - 1e-9).mean())
    assert lower == pytest.approx((shares <= observed + 1e-9).mean())
    assert chance == pytest.approx(shares.mean())


def test_4_a_long_network_is_permuted_by_draws() -> None:
    table = synthetic.depth(diagonal, seeds=2, layers=10, metrics=["linear"])
    upper, _, chance = hierarchy.null(hierarchy._matches(table)[0])
    assert 1 / 20_001 <= upper < 0.001
    assert chance == pytest.approx(2.8 / 10, abs=0.01)  # 8 layers have three places within one, 2 have two


def test_4_its_p_keeps_its_level_when_layers_do_not_matter() -> None:
    low = 0
    for seed in range(150):
        matrix = np.random.default_rng(seed).random((1, 6, 6))
        best = (matrix == matrix.max(axis=1, keepdims=True)).astype(float)
        hits = np.abs(np.arange(6)[:, None] - np.arange(6)) <= 1
        low += hierarchy.null([hierarchy.Matches(("net",), ((("net", "0"), ("net", "1")),), best, hits)])[0] <= 0.05
    assert low <= 15  # 7.5 expected at most; more than 15 come by chance less than 1 time in 200


def test_two_networks_give_an_interval_over_stimuli_that_says_so() -> None:
    claim = judged(1, synthetic.depth(falling, seeds=2))
    assert claim.over == "stimuli (from 5 folds; these very networks)"
    assert claim.verdict is YES


def test_untrained_networks_and_null_rows_are_no_evidence() -> None:
    assert judged(1, synthetic.depth(falling, step=0)).verdict is OPEN
    plain, with_null = (judged(1, synthetic.depth(falling, null=n)) for n in (None, 0.1))
    assert with_null.effect == pytest.approx(plain.effect)
    assert with_null.basis == plain.basis


def test_runs_with_two_networks_do_not_spoil_the_interval_over_three() -> None:
    three, two = synthetic.depth(falling, seeds=3), synthetic.depth(falling, seeds=2).assign(run="s")
    alone, both = judged(1, three), judged(1, pd.concat([three, two], ignore_index=True))
    assert both.interval == alone.interval
    assert "1 run" in both.basis


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_rows_and_the_names_of_runs_do_not_matter(seed: int) -> None:
    table = synthetic.depth(falling, seeds=3, layers=4)
    for number in (1, 2, 4):
        before, after = judged(number, table), judged(number, table.sample(frac=1, random_state=seed).assign(run="s"))
        assert after.verdict is before.verdict
        assert after.effect == pytest.approx(before.effect)


# ---------------------------------------------------------------- claim 5: the training axis

EARLY, LATE, SLOW = (0.2, 0.4, 0.5, 0.58, 0.6), (0.2, 0.22, 0.25, 0.4, 0.6), (0.1, 0.12, 0.2, 0.5, 0.9)


@pytest.mark.parametrize(
    ("curve", "accuracy", "options", "verdict", "reason"),
    [
        (EARLY, SLOW, {}, YES, "All 2 parts hold"),
        (LATE, SLOW, {}, NO, "less than half of the rise"),
        (EARLY, (0.1, 0.6, 0.85, 0.9, 0.91), {}, NO, "accuracy is ahead"),
        (EARLY, SLOW, {"spread": 0.2}, OPEN, ""),
        (EARLY, SLOW, {"seeds": 2}, OPEN, "2 networks give no interval"),
        ((0.5,) * 5, SLOW, {}, OPEN, "alignment does not rise by more than noise"),
        (EARLY, (0.1,) * 5, {}, OPEN, "accuracy does not rise by more than noise"),
        (EARLY, SLOW, {"epochs": (0, 0.2, 1, 1.5, 2)}, OPEN, "training ends after 2 epochs"),
        (EARLY, SLOW, {"epochs": (0, 2, 4, 6, 8)}, OPEN, "checkpoints at epochs 0 and 1 are needed"),
    ],
    ids=["early", "late", "accuracy first", "networks differ", "two seeds", "no rise", "chance", "short", "no epoch 1"],
)
def test_5_most_of_the_rise_is_there_after_one_epoch(curve, accuracy, options, verdict, reason) -> None:
    claim = judged(5, synthetic.training(curve, accuracy, **options))
    assert claim.verdict is verdict
    assert reason.lower() in claim.reason.lower()


def test_5_has_the_share_that_was_put_in_with_two_seeds_too() -> None:
    for seeds in (2, 4):
        claim = judged(5, synthetic.training(EARLY, SLOW, seeds=seeds, spread=1e-6, noise=1e-6))
        assert claim.parts[0].estimate.value == pytest.approx(0.75, abs=1e-3)
        assert claim.parts[1].estimate.value == pytest.approx(0.75 - 0.125, abs=1e-3)
        assert (claim.interval is None) == (seeds == 2)


# ---------------------------------------------------------------- claims 6 and 7: the OOD axis


def diverging(shift: int, level: int, a: float) -> float:
    return 0.1 * (level + 1) * a


def accuracies(shift: int, level: int) -> float:
    return 0.9 - 0.08 * shift


@pytest.mark.parametrize(
    ("gap", "options", "verdict", "reason"),
    [
        (diverging, {}, YES, "All 4 parts hold"),
        (diverging, {"protocols": ("refit", "transfer")}, YES, "All 8 parts hold"),
        (lambda s, k, a: 0.2, {}, NO, "early layers keep less than 0.9"),
        (lambda s, k, a: 0.0, {}, NO, "late layers do not lose 0.02 more"),
        (lambda s, k, a: 0.1 * (3 - k) * a, {}, NO, "stronger shifts do not widen"),
        (diverging, {"noise": 0.6}, OPEN, ""),
        (diverging, {"shifts": {"edge": ("analogue",), "colour": ("bw",)}}, OPEN, "3 shifts are needed"),
        (diverging, {"shifts": dict.fromkeys(("edge", "sketch", "colour"), ("0",))}, OPEN, "ordered levels"),
    ],
    ids=["diverges", "both protocols", "everywhere", "nowhere", "milder", "noise", "two shifts", "no levels"],
)
def test_6_early_layers_hold_and_later_ones_diverge(gap, options, verdict, reason) -> None:
    claim = judged(6, synthetic.ood(gap, accuracies, **options))
    assert claim.verdict is verdict
    assert reason.lower() in claim.reason.lower()


def test_6_is_over_shifts_and_networks_at_once() -> None:
    assert judged(6, synthetic.ood(diverging, accuracies)).over == "8 shifts and 3 networks"
    assert judged(6, synthetic.ood(diverging, accuracies, seeds=2)).over == "8 shifts"


def late(shift: int, level: int, a: float) -> float:
    return 0.06 * shift * (a > 2 / 3)


@pytest.mark.parametrize(
    ("gap", "accuracy", "options", "verdict", "reason"),
    [
        (late, accuracies, {}, YES, "All 2 parts hold"),
        (lambda s, k, a: late(7 - s, k, a), accuracies, {}, NO, "late layers does not go with"),
        (lambda s, k, a: 0.06 * s, accuracies, {}, NO, "other layers goes with accuracy too"),
        (lambda s, k, a: 0, accuracies, {"noise": 0.1}, OPEN, "includes both"),
        (late, lambda s, k: 0.8 + 0.002 * s, {}, OPEN, "nothing to correlate with"),
        (late, lambda s, k: np.nan, {}, OPEN, "accuracy of these networks under shift is not known"),
        (late, accuracies, {"shifts": {"edge": ("0",), "colour": ("bw",)}}, OPEN, "5 shifts are needed"),
        (late, accuracies, {"layers": 2}, OPEN, "3 layers are needed"),
    ],
    ids=["late", "against", "all layers", "none", "no spread", "unknown", "two shifts", "two layers"],
)
def test_7_alignment_goes_with_accuracy_in_late_layers_only(gap, accuracy, options, verdict, reason) -> None:
    claim = judged(7, synthetic.ood(gap, accuracy, **options))
    assert claim.verdict is verdict
    assert reason.lower() in claim.reason.lower()


def test_7_is_the_correlation_of_scipy() -> None:
    table = synthetic.ood(late, lambda s, k: 0.9 - 0.01 * (s - 2) ** 2, seeds=2, shifts=synthetic.LEVELS)
    rows = table[(table.condition != "wd") & (table.source_depth >= 2 / 3)]
    by_level = rows.groupby(["source_layer", "condition", "level"])[["score", "source_accuracy"]].mean()
    means = by_level.groupby(["source_layer", "condition"]).mean()
    z = [np.arctanh(pearsonr(part.score, part.source_accuracy).statistic) for _, part in means.groupby(level=0)]
    assert judged(7, table).parts[0].estimate.value == pytest.approx(np.mean(z))


def test_7_is_what_the_figure_shows() -> None:
    table = synthetic.ood(lambda s, k, a: 0.05 * s * a, accuracies, noise=0.2)
    (found,) = divergences(table)
    drawn = np.arctanh(correlation(found).pearson)
    assert judged(7, table).parts[0].estimate.value == pytest.approx(drawn[found.depths >= 2 / 3].mean())


# ---------------------------------------------------------------- the rule


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


def test_5_pairs_that_never_meet_at_one_point_tell_nothing() -> None:
    table = synthetic.training(EARLY, SLOW)
    claim = judged(5, table[table.source_weights == "seed0"].assign(target_epoch=20.0))
    assert claim.verdict is OPEN
    assert "no run has pairs of networks at equal points" in claim.reason.lower()
