"""The share of the eventual rise, its intervals over seeds, and what is said where there is none."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.results.rise import ACCURACY, ALL, rise

EPOCHS = (0.0, 0.5, 1.0, 2.0, 4.0)
CURVE = (0.2, 0.3, 0.5, 0.55, 0.6)  # half of its rise at epoch 0.75, 90 % at 2.4


def table(
    curve: tuple[float, ...] = CURVE, seeds: int = 3, noise: float = 0.0, spread: float = 0.0, accuracy: float = 0.8
) -> pd.DataFrame:
    """Rows as the training axis writes them: two layers, the second without a rise."""
    rng = np.random.default_rng(0)
    rows = []
    for a, b in combinations(range(seeds), 2):
        offset = spread * rng.standard_normal()
        for (t, epoch), fold, (layer, depth) in product(enumerate(EPOCHS), range(5), (("conv", 0.0), ("fc", 1.0))):
            value = curve[t] + offset * t if layer == "conv" else 0.4
            for direction, (s, u) in {"x->y": (a, b), "y->x": (b, a)}.items():
                row = {"metric": "procrustes", "direction": direction, "fold": fold, "n_train": 800, "n_test": 200}
                for end, seed in (("source", s), ("target", u)):
                    row |= {f"{end}_model": "net", f"{end}_weights": f"seed{seed}", f"{end}_epoch": epoch}
                    row |= {f"{end}_step": round(100 * epoch), f"{end}_layer": layer, f"{end}_depth": depth}
                    row[f"{end}_accuracy"] = 0.1 + (accuracy - 0.1) * t / (len(EPOCHS) - 1)
                rows.append({**row, "score": value + noise * rng.standard_normal()})
    return pd.DataFrame(rows)


def test_share_and_milestones_are_those_of_the_curve() -> None:
    curve = rise(table()).curve("procrustes", "conv")
    assert curve is not None
    np.testing.assert_allclose(curve.share, [0, 0.25, 0.75, 0.875, 1])
    epochs, steps = np.array(EPOCHS), 100 * np.array(EPOCHS)
    assert curve.reached(0.5, epochs)[0] == pytest.approx(0.75)
    assert curve.reached(0.9, steps)[0] == pytest.approx(240)


def test_accuracy_has_the_same_share() -> None:
    found = rise(table())
    curve = found.curve(ACCURACY, ALL)
    assert curve is not None
    np.testing.assert_allclose(curve.share, [0, 0.25, 0.5, 0.75, 1])


def test_all_layers_is_the_mean_over_layers() -> None:
    curve = rise(table()).curve("procrustes", ALL)
    assert curve is not None
    np.testing.assert_allclose(curve.values, (np.array(CURVE) + 0.4) / 2)


def test_a_rise_within_noise_is_not_divided_by() -> None:
    found = rise(table(noise=0.02))
    flat, steep = found.curve("procrustes", "fc"), found.curve("procrustes", "conv")
    assert flat is not None
    assert steep is not None
    assert not flat.rises
    assert np.isnan(flat.share).all()
    assert np.isnan(flat.reached(0.5, found.axis)).all()
    assert steep.rises


def test_a_fall_is_no_rise() -> None:
    found = rise(table(CURVE[::-1], accuracy=0.02))
    for curve in (found.curve("procrustes", "conv"), found.curve(ACCURACY, ALL)):
        assert curve is not None
        assert not curve.rises
        assert np.isnan(curve.share).all()


def test_an_accuracy_that_stays_at_chance_has_no_share() -> None:
    curve = rise(table(accuracy=0.102)).curve(ACCURACY, ALL)
    assert curve is not None
    assert not curve.rises


def test_two_seeds_give_no_interval_and_three_do() -> None:
    two, three = (rise(table(seeds=n, spread=0.01)).curve("procrustes", "conv") for n in (2, 3))
    assert two is not None
    assert three is not None
    assert two.rises
    assert np.isnan(two.share_interval).all()
    low, high = three.share_interval
    assert (low - 1e-9 <= three.share).all()
    assert (three.share <= high + 1e-9).all()
    assert (high - low)[2] > 0.01


def test_a_rise_that_other_networks_may_not_have_has_a_share_without_bounds() -> None:
    curve = rise(table(seeds=3, spread=0.5)).curve("procrustes", "conv")
    assert curve is not None
    assert curve.rises, "these networks' alignment does rise"
    assert not curve.bounded
    assert np.isfinite(curve.share).all()
    low, high = curve.share_interval
    assert np.isinf(low).all()
    assert np.isinf(high).all()
    at, *ends = curve.reached(0.5, np.array(EPOCHS))
    assert np.isfinite(at)
    assert np.isnan(ends).all()


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.1, 2), shift=st.floats(-0.2, 0.2))
def test_share_ignores_scale_and_offset_of_the_scores(scale: float, shift: float) -> None:
    moved = tuple(scale * v + shift for v in CURVE)
    before, after = (rise(table(c)).curve("procrustes", "conv") for c in (CURVE, moved))
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after.share, before.share, atol=1e-9)


def test_tables_have_a_row_for_each_metric_layer_and_point() -> None:
    found = rise(table())
    assert len(found.points()) == (3 + 1) * len(EPOCHS)  # conv, fc, all layers, and accuracy
    milestones = found.milestones().set_index(["metric", "layer"])
    assert milestones.loc[("procrustes", "conv"), "step_of_50_percent"] == pytest.approx(75)
    assert not milestones.loc[("procrustes", "fc"), "rises"]
