"""Where convergence breaks: gaps, their null, what refitting closes, and the correlation with accuracy."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergence import figures
from convergence.figures.summary import summary
from convergence.results import table as results
from convergence.results.accuracy import correlation
from convergence.results.divergence import Divergence, averaged, closure, divergences
from convergence.stimuli.shifts import SHIFTS
from tests.support import drafts

LAYERS = 6


def table(
    seeds: int = 2, *, gap: float = 0.4, closes: float = 0.5, noise: float = 0.01, bites: int = 3, known: bool = True
) -> pd.DataFrame:
    """Rows of every shift's averaged levels: from layer ``bites`` on, alignment falls with the shift's strength.

    Refitting closes the share ``closes`` of the gap; accuracy falls with the same strength.
    """
    rng = np.random.default_rng(0)
    rows = []
    conditions = [("wd", None, 0.0)]
    for i, shift in enumerate(SHIFTS.values()):
        conditions += [(shift.name, "analogue" if shift.analogue else v, i / 16) for v in shift.averaged]
    for s in range(seeds):
        for t in range(s + 1, seeds):
            for name, level, strength in conditions:
                for protocol in (None,) if name == "wd" else ("refit", "transfer"):
                    share = 1 - closes if protocol == "refit" else 1
                    for layer in range(LAYERS):
                        lost = gap * share * strength * (layer >= bites)
                        for direction, ends in (("x->y", (s, t)), ("y->x", (t, s))):
                            for fold in range(5):
                                score = 0.9 - 0.05 * layer - lost + noise * rng.normal()
                                rows.append((name, level, protocol, layer, direction, *ends, fold, score, strength))
    columns = ["condition", "level", "protocol", "layer", "direction", "source_seed", "target_seed", "fold", "score"]
    frame = pd.DataFrame(rows, columns=[*columns, "strength"])
    for end in ("source", "target"):
        frame[f"{end}_layer"] = "layer" + frame.layer.astype(str)
        frame[f"{end}_depth"] = frame.layer / (LAYERS - 1)
        frame[f"{end}_weights"] = "seed" + frame[f"{end}_seed"].astype(str)
        frame[f"{end}_accuracy"] = 0.8 - 0.6 * frame.strength if known else np.nan
    extra = {"axis": "ood", "metric": "procrustes", "run": "r", "n_train": 800, "n_test": 200}
    frame = frame.assign(source_model="a", target_model="a", source_step=9, target_step=9, **extra)
    return results.conform(frame).to_pandas()


def both(rows: pd.DataFrame) -> tuple[Divergence, Divergence]:
    found = {d.protocol: d for d in divergences(rows)}
    return found["refit"], found["transfer"]


def test_the_mean_over_shifts_and_its_standard_error_are_over_shifts_and_not_over_levels() -> None:
    _, carried = both(table(noise=0))
    by_shift = 0.9 - 0.05 * 5 - 0.4 * np.arange(17) / 16
    assert carried.mean[5] == pytest.approx(by_shift.mean())
    assert carried.error[5] == pytest.approx(by_shift.std(ddof=1) / np.sqrt(17))
    assert carried.stimuli == 1000


def test_levels_that_the_benchmark_leaves_out_do_not_count() -> None:
    rows = pd.DataFrame(
        [("contrast", "c100"), ("contrast", "c30"), ("contrast", "c01"), ("wd", None), ("rotation", "0")],
        columns=["condition", "level"],
    )
    kept = averaged(rows)
    assert list(kept.condition + kept.level.fillna("")) == ["contrastc30", "wd", "rotation0"]


def test_a_shift_bites_from_the_first_layer_whose_gap_exceeds_its_null() -> None:
    refit, carried = both(table(bites=3))
    assert carried.onset() == 3
    assert refit.onset() == 3
    assert carried.onset("silhouette") == 3
    assert (carried.gap_p()[:3] > 0.05).all()
    assert both(table(gap=0))[1].onset() is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_p_of_a_gap_is_never_below_one_in_all_signs_of_the_folds(seed: int) -> None:
    p = made(np.random.default_rng(seed).normal(size=(3, 5, 4))).gap_p()
    assert (p >= 1 / 32).all()
    assert (p <= 1).all()


def test_p_of_the_largest_gap_is_valid_where_there_is_no_gap() -> None:
    rng = np.random.default_rng(0)
    least = np.array([made(rng.normal(size=(1, 5, 6))).gap_p().min() for _ in range(600)])
    assert (least <= 0.0625).mean() < 0.0625 + 2 * np.sqrt(0.0625 * 0.9375 / 600)


@pytest.mark.parametrize("folds", [13, 20, 50])
def test_many_folds_are_tested_on_drawn_signs_in_little_time_and_memory(folds: int) -> None:
    rng = np.random.default_rng(0)
    gaps = rng.normal(size=(1, folds, 30))
    assert (made(gaps).gap_p() > 0.05).all()
    assert (made(gaps - 2).gap_p() < 0.02).all()  # two standard deviations


def test_the_p_of_a_gap_is_that_of_all_signs_written_out() -> None:
    gaps = np.random.default_rng(1).normal(0.3, 1, size=(6, 4))
    patterns = np.array(list(product((1, -1), repeat=6)))[:, :, None] * gaps
    drawn = patterns.mean(axis=1) / (patterns.std(axis=1, ddof=1) / np.sqrt(6))
    expected = (drawn.max(axis=1)[:, None] >= drawn[0] - 1e-9).mean(axis=0)
    np.testing.assert_allclose(made(-gaps[None]).gap_p(), expected)


def made(beyond: np.ndarray, accuracy: np.ndarray | None = None) -> Divergence:
    shifts, _, layers = beyond.shape
    return Divergence(
        metric="procrustes",
        protocol="transfer",
        shifts=[f"shift{i}" for i in range(shifts)],
        analogues=[],
        layers=[f"layer{i}" for i in range(layers)],
        named_alike=True,
        depths=np.linspace(0, 1, layers),
        within=np.zeros(beyond.shape[1:]),
        beyond=beyond,
        by_pair=beyond.mean(axis=1)[None],
        accuracy=np.linspace(0.1, 0.9, shifts)[None] if accuracy is None else accuracy,
        stimuli=1000,
    )


@pytest.mark.parametrize("closes", [0.0, 0.5, 1.0])
def test_refitting_closes_the_share_of_the_gap_that_another_map_wins_back(closes: float) -> None:
    closed = closure(*both(table(closes=closes)))
    assert closed.share[3:] == pytest.approx(np.full(3, closes), abs=0.08)
    assert np.isnan(closed.share[:3]).all(), "no gap, no share of it"
    assert (closed.low[3:] <= closed.share[3:]).all()
    assert (closed.share[3:] <= closed.high[3:]).all()


def test_correlation_of_one_pair_is_that_of_scipy_with_an_interval_around_it() -> None:
    rng = np.random.default_rng(1)
    found = made(rng.normal(size=(17, 5, 3)) + np.linspace(0, 1, 17)[:, None, None])
    r, x = correlation(found), found.by_pair[0]
    for layer in range(3):
        assert r.pearson[layer] == pytest.approx(stats.pearsonr(x[:, layer], found.accuracy[0])[0])
        assert r.spearman[layer] == pytest.approx(stats.spearmanr(x[:, layer], found.accuracy[0])[0])
    assert (r.low < r.pearson).all()
    assert (r.pearson < r.high).all()
    assert (r.points, r.pairs) == (17, 1)


def test_pairs_are_pooled_by_the_mean_of_fishers_z() -> None:
    refit, _ = both(table(3))
    r = correlation(refit)
    single = [np.arctanh(stats.pearsonr(x[:, -1], a)[0]) for x, a in zip(refit.by_pair, refit.accuracy, strict=True)]
    assert r.pearson[-1] == pytest.approx(np.tanh(np.mean(single)))
    assert r.pairs == 3


@pytest.mark.parametrize(
    ("accuracy", "reason"),
    [
        (np.full((1, 17), 0.0625), "accuracy is the same under all shifts, to within its error"),
        (0.0625 + 0.005 * np.sin(np.arange(17))[None], "accuracy is the same under all shifts, to within its error"),
        (np.full((1, 17), 1.0), "accuracy is the same under all shifts, to within its error"),
        (np.full((1, 17), np.nan), "accuracy is not known"),
    ],
    ids=["at chance", "at chance to within its error", "perfect", "unknown"],
)
def test_accuracy_without_spread_gives_no_number_and_a_reason(accuracy: np.ndarray, reason: str) -> None:
    r = correlation(made(np.random.default_rng(0).normal(size=(17, 5, 2)), accuracy))
    assert r.reason == reason
    assert np.isnan(r.pearson).all()
    assert np.isnan(r.high).all()


def test_few_shifts_give_no_correlation() -> None:
    assert correlation(made(np.random.default_rng(0).normal(size=(4, 5, 2)))).reason == "4 shifts are too few"


@pytest.mark.parametrize("rows", [table(), table(3), table(known=False)], ids=["two seeds", "three", "no accuracy"])
def test_figures_and_tables_are_drawn_from_rows_alone_and_the_summary_fits_a_terminal(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.only(monkeypatch)
    names = {path.name for path in figures.draw(rows, tmp_path)}
    assert names == {
        *("ood_profile.png", "ood_correlation.png"),
        *("divergence.csv", "shifts.csv", "correlation.csv"),
    }
    gaps = pd.read_csv(tmp_path / "divergence.csv").set_index(["protocol", "layer"])
    assert gaps.loc[("transfer", "layer5"), "closed"] == pytest.approx(0.5, abs=0.03)
    assert set(pd.read_csv(tmp_path / "shifts.csv")["shift"]) == set(SHIFTS)
    text = summary(rows)
    assert max(map(len, text.splitlines())) <= 80
    assert "procrustes, transfer" in text
