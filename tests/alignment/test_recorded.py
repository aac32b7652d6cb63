"""Today's scores are those that were recorded: the same rows in the same order, numbers to 1e-9."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.alignment.recorded.cases import CASES, CHANCE, FILE, TEXT, rows

KEYS = ["set", "layer_x", "layer_y", "metric", "direction", "null", "fold", "draw"]
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def recorded() -> dict[str, pd.DataFrame]:
    """The rows of each case, with the columns that its table has."""
    tables = {}
    for name, table in pd.read_parquet(FILE).groupby("case", sort=False):
        without = [] if "null" in CASES[str(name)].options else CHANCE
        tables[str(name)] = table.drop(columns=["case", *without]).reset_index(drop=True)
    return tables


def test_all_cases_are_recorded(recorded: dict[str, pd.DataFrame]) -> None:
    assert list(recorded) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_recorded(name: str, recorded: dict[str, pd.DataFrame]) -> None:
    expected, found = recorded[name], rows(CASES[name])
    assert ["set", *(column for column in found.columns if column != "set")] == list(expected.columns)
    keys = [key for key in KEYS if key in expected]
    pd.testing.assert_frame_equal(found[keys], expected[keys], check_dtype=False, check_exact=True)
    for column in expected.columns.difference(TEXT):
        np.testing.assert_allclose(found[column], expected[column], rtol=0, atol=TOLERANCE, err_msg=column)
