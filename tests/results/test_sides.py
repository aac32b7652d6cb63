"""A row tells its source and its target, whichever of the engine's sides they are."""

from __future__ import annotations

import pandas as pd
import pytest

from convergence.results.sides import source_and_target

X = pd.DataFrame({"layer": ["a", "b"], "model": ["m", "m"], "seed": [None, None]}, index=["a of 0", "b of 1"])
Y = pd.DataFrame({"layer": ["c"], "model": ["n"], "seed": [7]}, index=["c"])


def scored(**columns: list[object]) -> pd.DataFrame:
    count = len(columns["layer_x"])
    beside = {"units_x": [3] * count, "units_y": [5] * count, "dead_x": [1] * count, "dead_y": [0] * count}
    return pd.DataFrame(columns | beside | {"score": [0.1 * i for i in range(count)]})


def test_maps_of_both_directions_name_the_layer_they_come_from() -> None:
    table = scored(layer_x=["a of 0", "a of 0", "b of 1"], layer_y=["c"] * 3, direction=["x->y", "y->x", "y->x"])
    x, y = (side.astype({"seed": "Int64"}) for side in (X, Y))
    found = source_and_target(table, x, y)
    assert found.source_layer.tolist() == ["a", "c", "c"]
    assert found.target_layer.tolist() == ["c", "a", "b"]
    assert found.source_model.tolist() == ["m", "n", "n"]
    assert found.source_units.tolist() == [3, 5, 5]
    assert found.target_dead.tolist() == [0, 1, 1]
    assert found.source_seed.isna().tolist() == [True, False, False]
    assert found.source_seed.tolist()[1:] == [7, 7]
    assert found.score.tolist() == table.score.tolist()


def test_a_layer_of_which_nothing_is_known_is_no_other_one() -> None:
    table = scored(layer_x=["a of 0", "strange"], layer_y=["c", "c"], direction=["x->y", "x->y"])
    with pytest.raises(KeyError, match="layers of x"):
        source_and_target(table, X, Y)
