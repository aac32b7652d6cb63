"""``scripts/validate_statistics.py`` in short: p is uniform under true nulls, and intervals hold the truth."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def validate() -> ModuleType:
    """The script as a module."""
    path = Path(__file__).resolve().parents[2] / "scripts" / "validate_statistics.py"
    spec = importlib.util.spec_from_file_location("validate_statistics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["validate_statistics"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("null", "metric"), [("shuffle", "procrustes"), ("shuffle", "soft_matching"), ("rotation", "soft_matching")]
)
def test_p_is_uniform_where_the_null_is_true(validate: ModuleType, null: str, metric: str) -> None:
    setting = validate.Setting(null, metric, "unequal widths, M > N")
    count, p = validate.uniformity(setting, draws=19, seconds=np.inf, repetitions=40, seed=1)
    assert count == 40
    assert p > 0.01


def test_p_of_responses_that_share_something_is_not_uniform(validate: ModuleType) -> None:
    class Shared(validate.Setting):  # type: ignore[name-defined, misc]
        def data(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            x, y = super().data(rng)
            return x, y + x @ rng.standard_normal((x.shape[1], y.shape[1]))

    setting = Shared("shuffle", "procrustes", "unequal widths, M > N")
    assert validate.uniformity(setting, draws=19, seconds=np.inf, repetitions=30, seed=1)[1] < 0.001


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("kinds", [1, 2])
def test_the_interval_over_networks_holds_the_truth_as_often_as_it_says(
    validate: ModuleType, n: int, kinds: int
) -> None:
    share = validate.coverage(lambda rng: validate.networks_covered(n, rng, kinds), np.inf, 1000, 0)
    assert 0.93 <= share <= 0.98


def test_the_interval_over_shifts_holds_the_truth_as_often_as_it_says(validate: ModuleType) -> None:
    assert 0.93 <= validate.coverage(lambda rng: validate.shifts_covered(17, rng), np.inf, 1000, 0) <= 0.97
