"""Claims 1 to 4, on rows of the depth axis that were made to hold or break them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from convergence.report.claims import hierarchy
from convergence.report.evidence import Verdict
from tests.support import synthetic
from tests.support.claims import NO, OPEN, YES, diagonal, falling, judged, levels


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
    studies, _ = hierarchy.best_matches(table)
    upper, lower, chance = hierarchy.null(studies)
    assert upper == pytest.approx((shares >= observed - 1e-9).mean())
    assert lower == pytest.approx((shares <= observed + 1e-9).mean())
    assert chance == pytest.approx(shares.mean())


def test_4_a_long_network_is_permuted_by_draws() -> None:
    table = synthetic.depth(diagonal, seeds=2, layers=10, metrics=["linear"])
    upper, _, chance = hierarchy.null(hierarchy.best_matches(table)[0])
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
