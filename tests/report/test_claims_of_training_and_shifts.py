"""Claims 5 to 7, on rows of the training and OOD axes that were made to hold or break them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from convergence.results.accuracy import correlation
from convergence.results.divergence import divergences
from tests.support import synthetic
from tests.support.claims import NO, OPEN, YES, judged

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


def test_5_pairs_that_never_meet_at_one_point_tell_nothing() -> None:
    table = synthetic.training(EARLY, SLOW)
    claim = judged(5, table[table.source_weights == "seed0"].assign(target_epoch=20.0))
    assert claim.verdict is OPEN
    assert "no run has pairs of networks at equal points" in claim.reason.lower()


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
