"""Responses that are kept for a fold with fewer stimuli than units say what second moments say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from convergence.alignment.arrays import Arrays
from convergence.alignment.engine import Tile
from convergence.alignment.folds import assign
from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.alignment.moments.accumulate import Pass, accumulate

WIDTHS = {"narrow": 7, "middle": 20, "wide": 45, "other": 45}


def responses(seed: int, stimuli: int) -> dict[str, np.ndarray]:
    shared, rng = np.random.default_rng(0).normal(size=(stimuli, 5)), np.random.default_rng(seed)
    found = {n: 3 + shared @ rng.normal(size=(5, w)) + rng.normal(size=(stimuli, w)) for n, w in WIDTHS.items()}
    found["wide"][:, 3] = 1.0  # dead
    return found


@pytest.mark.parametrize("stimuli", [103, 52])  # folds of unequal sizes; fewer training stimuli than units
@pytest.mark.parametrize("transferred", [False, True])
def test_scores_are_the_same_with_and_without_them(stimuli: int, transferred: bool) -> None:
    x, y, far_x, far_y = (Arrays(responses(seed, stimuli), "x") for seed in range(4))
    pairs, fold = list(product(WIDTHS, WIDTHS)), assign(stimuli)
    metrics = [MEASURES[name] for name in (*METRICS, "partial_soft_matching", "cca")]
    found = []
    for keep in (False, True):
        how = Pass(torch.device("cpu"), chunk=17, keep=5 * keep)
        moments = accumulate(x, y, pairs, fold, how)
        sets = [moments, accumulate(far_x, far_y, pairs, fold, how, moments)] if transferred else [moments]
        tile = Tile(moments, sets, pairs, range(5), metrics, None)
        found.append([tile.observed(block, ("x->y", "y->x")) for block in tile.blocks])
    for without, kept in zip(*found, strict=True):
        for key, numbers in without.items():
            torch.testing.assert_close(kept[key], numbers, rtol=0, atol=1e-9, equal_nan=True)
