"""Maps fitted within distribution and scored on other responses of the same networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from convergence.alignment.arrays import Arrays
from convergence.alignment.score import COLUMNS, score, transfer
from convergence.system.errors import UserError
from tests.support import reference
from tests.support.layers import SCORES, layers, with_dead

PAIRS = [("layer0", "layer0"), ("layer1", "layer1")]


def distorted(made: reference.Layers, seed: int) -> reference.Layers:
    """Another mean, another scale, and noise, as shifted images bring them."""
    rng = np.random.default_rng(seed)
    return {n: 0.5 * v + 30 * rng.normal(size=v.shape[1]) + rng.normal(size=v.shape) for n, v in made.items()}


def run(x: reference.Layers, y: reference.Layers, *others: tuple, **options: object) -> list[pd.DataFrame]:
    sides = [(Arrays(a, "x"), Arrays(b, "y")) for a, b in others]
    return transfer(Arrays(x, "x"), Arrays(y, "y"), sides, PAIRS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.0, 1e4], ids=["means near zero", "means far above the spread"])
def test_maps_from_clean_training_folds_score_shifted_held_out_folds_as_the_obvious_way(level: float) -> None:
    x, y = with_dead(layers(1, 200, (16, 24), level), 3.3), layers(2, 200, (16, 30), level)
    first, second = ((distorted(x, s), distorted(y, s + 1)) for s in (3, 5))
    for other, table in zip((first, second), run(x, y, first, second), strict=True):
        assert list(table.columns) == COLUMNS
        assert set(table.metric) == {"linear", "procrustes", "permutation", "soft_matching"}
        assert reference.check(x, y, table, held_out=other)[SCORES].max().max() < 1e-5


def test_transfer_to_the_same_responses_is_the_score_itself() -> None:
    x, y = layers(1, 120, (12, 20)), layers(2, 120, (12, 16))
    (table,) = run(x, y, (x, y))
    expected = score(Arrays(x, "x"), Arrays(y, "y"), PAIRS)
    pd.testing.assert_frame_equal(table, expected, atol=1e-12, rtol=0)


def test_tiles_chosen_by_the_budget_change_no_score() -> None:
    x, y = layers(1, 120, (12, 20)), layers(2, 120, (12, 16))
    other = (distorted(x, 3), distorted(y, 4))
    (whole,), (tiled,) = run(x, y, other), run(x, y, other, memory_gb=1.5e-4)
    pd.testing.assert_frame_equal(whole, tiled, atol=1e-9, rtol=0)


def test_sets_that_do_not_fit_together_are_scored_one_after_the_other_and_change_no_score() -> None:
    x, y = layers(1, 120, (12, 20)), layers(2, 120, (12, 16))
    others = [(distorted(x, seed), distorted(y, seed + 1)) for seed in (3, 5, 7)]
    whole, cut = run(x, y, *others), run(x, y, *others, memory_gb=1.2e-4)
    assert len(cut) == 3
    for one, other in zip(whole, cut, strict=True):
        pd.testing.assert_frame_equal(one, other, atol=1e-9, rtol=0)
    with pytest.raises(UserError, match="raise it, or keep fewer units"):
        run(x, y, *others, memory_gb=0.5e-4)


def test_a_unit_that_is_silent_under_the_shift_is_left_out_and_counted() -> None:
    x, y = layers(1, 120, (12, 20)), layers(2, 120, (12, 16))
    silent = {name: values.copy() for name, values in y.items()}
    silent["layer0"][:, :2] = 7.0
    (table,) = run(x, y, (x, silent))
    assert set(table[table.layer_y == "layer0"].dead_y) == {2}
    assert set(table[table.layer_y == "layer1"].dead_y) == {0}
    assert table.score.notna().all()


def test_another_number_of_stimuli_is_refused() -> None:
    x, y = layers(1, 60, (6, 8)), layers(2, 60, (6, 8))
    with pytest.raises(UserError, match="maps from 60 stimuli can't be scored by folds on 50 others: give as many"):
        run(x, y, (layers(1, 50, (6, 8)), layers(2, 50, (6, 8))))
