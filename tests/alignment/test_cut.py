"""What is cut so that it fits has the scores of what is not: by metrics, by folds, by sets."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from convergence import align
from convergence.alignment.arrays import Arrays
from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.alignment.score import transfer
from convergence.alignment.ways import By, Needs
from convergence.system.errors import UserError

WIDTHS = {"narrow": 12, "wide": 90, "other": 70}
FITTED = [name for name, metric in MEASURES.items() if metric.fitted]
STIMULI = (30, 130)  # fewer than the widest layers have units, and more
TINY = 1.1e-3  # GiB that the widest pair does not fit whole


def responses(seed: int, stimuli: int, dead: int = 3) -> dict[str, np.ndarray]:
    shared, rng = np.random.default_rng(0).normal(size=(stimuli, 6)), np.random.default_rng(seed)
    found = {n: 2 + shared @ rng.normal(size=(6, w)) + 0.7 * rng.normal(size=(stimuli, w)) for n, w in WIDTHS.items()}
    found["wide"][:, :dead] = 1.0
    return found


def ways(stimuli: int, metrics: list[str], memory_gb: float) -> set[By]:
    x, y = (Arrays(responses(seed, stimuli), "x") for seed in (1, 2))
    return {way.by for way in Needs(x, y, 5).ways(list(product(WIDTHS, WIDTHS)), metrics, memory_gb * 2**30)}


def assert_same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    assert list(a.columns) == list(b.columns)
    keys = [name for name in a if a[name].dtype.kind != "f"]
    pd.testing.assert_frame_equal(a[keys], b[keys])
    numbers = a.columns.difference(keys)
    np.testing.assert_allclose(a[numbers].to_numpy(float), b[numbers].to_numpy(float), rtol=0, atol=1e-9)


@pytest.mark.parametrize("stimuli", STIMULI)
@pytest.mark.parametrize("metrics", [list(METRICS), ["permutation", "soft_matching", "partial_soft_matching"], FITTED])
def test_a_pair_that_does_not_fit_is_cut_and_has_the_same_rows(stimuli: int, metrics: list[str]) -> None:
    assert By.fold in ways(stimuli, metrics, TINY)
    assert ways(stimuli, metrics, 2.0) == {By.moments}
    x, y = (responses(seed, stimuli) for seed in (1, 2))
    assert_same(align(x, y, memory_gb=TINY, metrics=metrics), align(x, y, metrics=metrics))


def test_where_units_outnumber_stimuli_the_cut_goes_by_gram_matrices_too() -> None:
    assert ways(30, list(METRICS), TINY) == {By.grams, By.fold, By.moments}


@pytest.mark.parametrize("stimuli", STIMULI)
def test_cut_maps_are_carried_over_to_other_stimuli_as_whole_ones(stimuli: int) -> None:
    x, y, *others = (Arrays(responses(seed, stimuli), "x") for seed in range(6))
    sets, pairs = list(zip(others[::2], others[1::2], strict=True)), list(product(WIDTHS, WIDTHS))
    cut = transfer(x, y, sets, pairs, metrics=METRICS, memory_gb=1.8 * TINY)
    for a, b in zip(cut, transfer(x, y, sets, pairs, metrics=METRICS), strict=True):
        assert_same(a, b)


def test_what_cannot_be_cut_any_further_is_refused_with_its_size() -> None:
    x, y = (responses(seed, 30) for seed in (1, 2))
    with pytest.raises(UserError, match=r"units\) takes .* GiB, more than memory_gb=1e-05: raise it, or keep fewer"):
        align(x, y, memory_gb=1e-5)
