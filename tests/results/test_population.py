"""Many networks at once, and which of their layers correspond."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergence import figures
from convergence.results import views
from convergence.results.correspondence import corresponding_layers
from convergence.results.population import populations
from tests.support import drafts, synthetic


def table(families: dict[str, int], within: float = 0.8, across: float = 0.5, noise: float = 0.02) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for x, y in combinations([(m, s) for m, n in families.items() for s in range(n)], 2):
        level = (within if x[0] == y[0] else across) + noise * rng.standard_normal()
        for layer, metric in ((0, "procrustes"), (1, "procrustes"), (0, "linear"), (1, "linear")):
            what = {"axis": "depth", "condition": "wd", "metric": metric, "fold": 0, "source_step": 9, "target_step": 9}
            score = level + 0.1 * (metric == "linear")
            rows += synthetic.both_ways(x, y, layer, layer, (float(layer), float(layer)), score=score, **what)
    return synthetic.whole(rows)


def test_families_that_resemble_each_other_stand_side_by_side_and_apart_from_others() -> None:
    found = populations(table({"a": 3, "b": 4, "c": 2}))
    assert {one.metric for one in found} == {"procrustes", "linear"}
    for one in found:
        assert len(one.networks) == 9
        changes = sum(first != second for first, second in zip(one.models, one.models[1:], strict=False))
        assert changes == 2, "the leaves of a family are neighbours"
        assert one.separability > 5
        centres = {m: one.places[[n == m for n in one.models]].mean(axis=0) for m in set(one.models)}
        for place, model in zip(one.places, one.models, strict=True):
            assert min(centres, key=lambda m: float(np.linalg.norm(place - centres[m]))) == model


def test_the_matrix_has_the_mean_of_both_directions_of_corresponding_layers() -> None:
    rows = table({"a": 4}, noise=0)
    rows.loc[rows.direction == "x->y", "score"] += 0.1
    one = next(found for found in populations(rows) if found.metric == "procrustes")
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(one.alignment[off], 0.85)
    assert np.isnan(np.diagonal(one.alignment)).all()
    assert np.isnan(one.separability), "one family stands apart from none"


def test_a_network_that_has_not_met_all_others_is_left_out() -> None:
    rows = table({"a": 5})
    met = ~((rows.source_seed == 4) & (rows.target_seed < 2) | (rows.target_seed == 4) & (rows.source_seed < 2))
    assert [len(found.networks) for found in populations(rows[met].reset_index(drop=True))] == [4, 4]
    assert populations(table({"a": 3})) == []


def test_a_sweep_of_four_networks_or_more_is_drawn_as_a_picture_per_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.only(monkeypatch)
    paths = figures.draw(table({"a": 3, "b": 2}), tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in paths}
    assert {"population_procrustes.png", "population_linear.png"} <= names


@pytest.mark.parametrize(
    ("x", "y", "pairs"),
    [
        ({"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 1.0}, [("a", "a"), ("b", "b")]),
        ({"a": 0.0, "b": 1.0}, {"c": 0.0, "d": 0.4, "e": 1.0}, [("a", "c"), ("a", "d"), ("b", "e")]),
        ({"a": 0.0}, {"c": 0.0, "d": 1.0}, [("a", "c"), ("a", "d")]),
        ({"a": 0.5}, {"c": 0.0, "d": 1.0}, [("a", "c"), ("a", "d")]),
    ],
)
def test_layers_correspond_by_name_or_by_the_nearest_depth(x: dict, y: dict, pairs: list) -> None:
    assert corresponding_layers(x, y) == pairs
    swapped = [(b, a) for a, b in corresponding_layers(y, x)]
    assert sorted(swapped) == sorted(pairs)


def test_rows_of_corresponding_layers_are_those_that_would_be_scored() -> None:
    rows = synthetic.depth(lambda metric, a, b: 0.5, seeds=1, layers=3, models=("p", "q"))
    kept = views.corresponding(rows)
    assert set(kept.source_layer.str[1:] + kept.target_layer.str[1:]) == {"00", "11", "22"}
    mixed = pd.concat([rows, synthetic.depth(lambda metric, a, b: 0.5, seeds=2, layers=3)], ignore_index=True)
    assert len(views.corresponding(mixed)) == len(kept) * 2, "each pair of models by itself"
