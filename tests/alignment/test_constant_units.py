"""Units that are constant in some of the stimuli: scores are numbers or missing, never infinite."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from convergence import align
from convergence.alignment.folds import assign
from convergence.alignment.metrics.catalogue import MEASURES

STIMULI, FOLDS, WIDTHS = 60, 5, {"narrow": 6, "wide": 30, "wider": 90}
FOLD = assign(STIMULI, FOLDS).numpy()
WHERE = {
    "training": FOLD != 0,
    "held out": FOLD == 0,
    "everywhere": np.ones(STIMULI, dtype=bool),
}


def responses(seed: int, level: float) -> dict[str, np.ndarray]:
    shared, rng = np.random.default_rng(0).normal(size=(STIMULI, 4)), np.random.default_rng(seed)
    return {
        name: level + shared @ rng.normal(size=(4, n)) + rng.normal(size=(STIMULI, n)) for name, n in WIDTHS.items()
    }


@pytest.mark.parametrize(("where", "all_units", "level"), [*product(WHERE, (True, False), (0.0, 1e3))])
def test_constant_units_give_numbers_or_nothing(where: str, all_units: bool, level: float) -> None:
    x, y = responses(1, level), responses(2, level)
    for values in x.values():
        units = slice(None) if all_units else slice(0, None, 2)
        values[WHERE[where], units] = np.pi + level + np.arange(values.shape[1])[units]
    table = align(x, y, metrics=list(MEASURES), folds=FOLDS, device="cpu")
    for column in ("score", "score_global", "score_transport", "penalty"):
        values = table[column].to_numpy(float)
        assert not np.isinf(values).any(), column
        if column != "penalty":
            assert np.nanmax(np.abs(values), initial=0) < 1 + 1e-9, column
    fitted = table[table.metric.isin([name for name, metric in MEASURES.items() if metric.freedom is not None])]
    if all_units and where != "training":  # what is constant where a map is scored predicts nothing
        there = fitted[(fitted.direction == "x->y") & (fitted.fold == 0)]
        assert (there.score.fillna(0) == 0).all()
    if not all_units:
        assert fitted[fitted.fold > 0].score.notna().all()
