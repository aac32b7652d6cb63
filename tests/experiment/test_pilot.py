"""What a large run takes follows from pieces of it, whichever part of the work it is that takes the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from convergence.alignment.chance.null import Null
from convergence.alignment.metrics.catalogue import METRICS
from convergence.experiment import pilot
from convergence.experiment.pilot import Work

WIDTHS = [16, 16, 32, 32, 64, 64, 128, 128, 256]
Law = Callable[[int, dict[str, int], list[tuple[str, str]], int], float]


def call(rows: int, layers: dict[str, int], pairs: list[tuple[str, str]], draws: int) -> float:
    return 0.3


def reading(rows: int, layers: dict[str, int], pairs: list[tuple[str, str]], draws: int) -> float:
    return 1e-8 * rows * sum(2 * n**2 for n in layers.values())


def fitting(rows: int, layers: dict[str, int], pairs: list[tuple[str, str]], draws: int) -> float:
    return 1e-6 * sum(layers[a] * layers[b] * max(layers[a], layers[b]) ** 0.6 for a, b in pairs)


def chance(rows: int, layers: dict[str, int], pairs: list[tuple[str, str]], draws: int) -> float:
    return 0.1 * (1 + draws) * fitting(rows, layers, pairs, draws)


def work(rows: int, pairs: str = "all") -> Work:
    x = {f"layer{i}": (1, n) for i, n in enumerate(WIDTHS)}
    chosen = tuple((a, b) for a in x for b in x if pairs == "all" or a == b)
    options = {"metrics": METRICS, "folds": 5, "seed": 0, "device": torch.device("cpu"), "memory_gb": 1.0}
    return Work(x, dict(x), chosen, rows, options)


@pytest.mark.parametrize("pairs", ["all", "matched"])
@pytest.mark.parametrize("law", [call, reading, fitting, chance])
def test_the_whole_is_judged_by_pieces_that_take_no_more_than_may_be_spent(
    law: Law, pairs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, scored = [0.0], []

    def score(x: Any, y: Any, some: list[tuple[str, str]], null: Null | None, **options: Any) -> None:
        taken = law(x.rows, x.layers, some, null.draws if null else 0)
        now[0] += taken
        scored.append(taken)

    monkeypatch.setattr(pilot, "score", score)
    monkeypatch.setattr(pilot.time, "perf_counter", lambda: now[0])
    whole, null = work(50_000, pairs), Null(("shuffle",), 200) if law is chance else None
    said = pilot.seconds(whole, null, 1, 0, spend=2.0)
    true = law(whole.rows, {n: u for n, (_, u) in whole.x.items()}, list(whole.pairs), 200 if null else 0)
    assert said == pytest.approx(true, rel=0.35)
    assert sum(scored) < 3


def test_what_grows_as_no_term_says_is_judged_by_the_larger_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def score(x: Any, y: Any, some: list[tuple[str, str]], **options: Any) -> None:
        now[0] += 0.1 * len(some) ** 0.5

    monkeypatch.setattr(pilot, "score", score)
    monkeypatch.setattr(pilot.time, "perf_counter", lambda: now[0])
    assert pilot.seconds(work(400), None, 3, 0, spend=4.0) == pytest.approx(3 * 0.9, rel=0.35)
