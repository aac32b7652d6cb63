"""The ladder: what each freedom of the map buys, and over what its interval is."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from convergence import figures
from convergence.results import table as results
from convergence.results.ladder import ladder, rungs
from tests.support import drafts

LEVELS = {"soft_matching": 0.3, "permutation": 0.2, "procrustes": 0.6, "linear": 0.7}


def table(seeds: int = 2, metrics: tuple[str, ...] = tuple(LEVELS), noise: float = 0.02) -> pd.DataFrame:
    """Rows of a depth run: 3 layers; Procrustes loses 0.1 per layer; a fold's noise is common to both directions."""
    rng = np.random.default_rng(0)
    rows = []
    for step, (a, b) in product((0, 9), combinations(range(seeds), 2)):
        for layer, metric, fold in product(range(3), metrics, range(5)):
            score = LEVELS[metric] - 0.1 * layer * (metric == "procrustes") + noise * rng.normal()
            for direction, ends in (("x->y", (a, b)), ("y->x", (b, a))):
                rows.append((*ends, step, f"layer{layer}", layer / 2, direction, metric, fold, score))
    columns = ["source_seed", "target_seed", "source_step", "source_layer", "source_depth"]
    frame = pd.DataFrame(rows, columns=[*columns, "direction", "metric", "fold", "score"])
    same = {"model": "net", "step": frame.source_step, "layer": frame.source_layer, "depth": frame.source_depth}
    for end in ("source", "target"):
        frame = frame.assign(**{f"{end}_{name}": value for name, value in same.items()})
        frame[f"{end}_weights"] = "seed" + frame[f"{end}_seed"].astype(str) + np.where(frame.source_step == 0, "u", "")
    return results.conform(frame.assign(axis="depth", dataset="shapes", run="r", n_train=80, n_test=20)).to_pandas()


def test_the_steps_are_the_gains_of_each_freedom_over_the_one_below() -> None:
    steps = ladder(table(noise=0))
    assert [(s.layer, s.lower, s.upper) for s in steps[:3]] == [
        ("layer0", "soft_matching", "procrustes"),
        ("layer0", "procrustes", "linear"),
        ("layer1", "soft_matching", "procrustes"),
    ]
    assert [s.gain.value for s in steps] == pytest.approx([0.3, 0.1, 0.2, 0.2, 0.1, 0.3])
    assert [s.below for s in steps] == pytest.approx([0.3, 0.6, 0.3, 0.5, 0.3, 0.4])


def test_with_one_pair_the_interval_is_over_stimuli_and_paired_by_fold() -> None:
    rows = table()
    rows = rows[rows.source_step != 0]
    step = ladder(rows)[0]
    first = rows[(rows.source_layer == "layer0") & (rows.direction == "x->y")].pivot(
        index="fold", columns="metric", values="score"
    )
    gains = first.procrustes - first.soft_matching
    half = student.ppf(0.975, 4) * gains.std() * np.sqrt(1 / 5 + 1 / 4)
    assert step.gain.interval == pytest.approx((gains.mean() - half, gains.mean() + half))
    assert step.gain.over.startswith("stimuli (from 5 folds")


def test_with_three_networks_the_interval_is_over_networks() -> None:
    rows = table(seeds=3)
    assert {s.gain.over for s in ladder(rows[rows.source_step != 0])} == {"3 networks"}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (("linear", "procrustes", "permutation"), ["permutation", "procrustes", "linear"]),
        (("linear", "procrustes", "permutation", "soft_matching"), ["soft_matching", "procrustes", "linear"]),
        (("linear", "procrustes", "cka"), []),
        (("linear", "soft_matching"), []),
    ],
)
def test_the_ladder_needs_all_three_rungs(metrics: tuple[str, ...], expected: list[str]) -> None:
    assert rungs(metrics) == expected


def test_the_figure_and_its_numbers_are_drawn_where_the_rungs_are_there_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.only(monkeypatch)
    names = {p.name for p in figures.draw(table(), tmp_path)}
    assert {"ladder.png", "ladder.csv"} <= names
    numbers = pd.read_csv(tmp_path / "ladder.csv")
    assert numbers.groupby("state", sort=False).size().to_dict() == {"trained": 6, "untrained": 6}
    assert ((numbers.gain_low < numbers.gain) & (numbers.gain < numbers.gain_high)).all()
    few = figures.draw(table(metrics=("linear", "procrustes")), tmp_path / "few")
    assert not [p for p in few if p.stem == "ladder"]
