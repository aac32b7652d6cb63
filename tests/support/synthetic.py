"""Tables of results as the axes write them, with scores that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from convergence.results import table as results

METRICS = ("linear", "procrustes", "soft_matching")
LEVELS = {
    "contrast": ("c50", "c30", "c15"),
    "low-pass": ("1", "3", "5"),
    "uniform-noise": ("0.03", "0.10", "0.35"),
    "phase-scrambling": ("30", "60", "90"),
    "eidolonI": ("2-10-10", "8-10-10", "32-10-10"),
    "colour": ("bw",),
    "edge": ("analogue",),
    "silhouette": ("analogue",),
}


def whole(rows: list[dict]) -> pd.DataFrame:
    """The rows in the schema of the results."""
    return results.conform(pd.DataFrame(rows)).to_pandas()


def network_pairs(seeds: int, models: Sequence[str]) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """All pairs of one model's networks, or of two models'."""
    groups = [[(model, s) for s in range(seeds)] for model in models]
    return list(combinations(groups[0], 2)) if len(groups) == 1 else list(product(*groups))


def both_ways(
    x: tuple[str, int], y: tuple[str, int], i: int, j: int, depths: tuple[float, float], **rest: object
) -> list:
    """A row for each direction of a map."""
    made = []
    ends = ((x, i, depths[0]), (y, j, depths[1]))
    for direction, order in (("x->y", ends), ("y->x", ends[::-1])):
        row: dict = {"direction": direction, "n_train": 800, "n_test": 200, "run": "r", "dataset": "d", **rest}
        for end, ((model, seed), layer, depth) in zip(("source", "target"), order, strict=True):
            row |= {f"{end}_model": model, f"{end}_weights": f"seed{seed}", f"{end}_seed": seed, f"{end}_units": 64}
            row |= {f"{end}_layer": f"{model}{layer}", f"{end}_depth": depth}
        made.append(row)
    return made


def depth(
    score: Callable[[str, float, float], float],
    *,
    seeds: int = 4,
    layers: int = 6,
    metrics: Sequence[str] = METRICS,
    models: Sequence[str] = ("net",),
    slopes: float = 0.01,
    noise: float = 0.005,
    step: int = 100,
    null: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """All layers with all layers; ``slopes``: spread of the networks' own slopes; ``null``: quantile of rotation."""
    rng = np.random.default_rng(seed)
    own = slopes * rng.standard_normal((len(models), seeds))
    places = np.linspace(0, 1, layers)
    rows = []
    for x, y in network_pairs(seeds, models):
        extra = own[models.index(x[0]), x[1]] + own[models.index(y[0]), y[1]]
        for metric, (i, a), (j, b) in product(metrics, enumerate(places), enumerate(places)):
            what = {"axis": "depth", "condition": "wd", "metric": metric, "source_step": step, "target_step": step}
            for fold in range(5):
                value = score(metric, a, b) + extra * (a + b) / 2 + noise * rng.standard_normal()
                rows += both_ways(x, y, i, j, (a, b), score=value, fold=fold, **what)
            if null is not None and metric == "soft_matching":
                rows += both_ways(
                    x, y, i, j, (a, b), score=score(metric, a, b), null="rotation", null_quantile=null, **what
                )
    return whole(rows)


def training(
    curve: Sequence[float],
    accuracy: Sequence[float],
    *,
    epochs: Sequence[float] = (0.0, 0.5, 1.0, 4.0, 10.0),
    seeds: int = 4,
    spread: float = 0.005,
    noise: float = 0.002,
) -> pd.DataFrame:
    """Corresponding layers at equal epochs; ``spread`` of the networks' own alignment at each epoch."""
    rng = np.random.default_rng(0)
    own = spread * rng.standard_normal((seeds, len(epochs)))
    rows = []
    for x, y in network_pairs(seeds, ("net",)):
        for (t, epoch), layer, fold in product(enumerate(epochs), range(3), range(5)):
            value = curve[t] + own[x[1], t] + own[y[1], t] + noise * rng.standard_normal()
            what = {"axis": "training", "condition": "wd", "metric": "procrustes", "score": value, "fold": fold}
            for end in ("source", "target"):
                what |= {f"{end}_epoch": epoch, f"{end}_step": round(100 * epoch), f"{end}_accuracy": accuracy[t]}
            rows += both_ways(x, y, layer, layer, (layer / 2, layer / 2), **what)
    return whole(rows)


def ood(
    gap: Callable[[int, int, float], float],
    accuracy: Callable[[int, int], float],
    *,
    seeds: int = 3,
    layers: int = 6,
    protocols: Sequence[str] = ("refit",),
    shifts: dict[str, tuple[str, ...]] = LEVELS,
    noise: float = 0.01,
) -> pd.DataFrame:
    """``gap(shift, level, depth)`` below 0.8, and ``accuracy(shift, level)``."""
    rng = np.random.default_rng(0)
    places = np.linspace(0, 1, layers)
    rows = []
    for (x, y), (i, a), fold in product(network_pairs(seeds, ("net",)), enumerate(places), range(5)):
        common = {"axis": "ood", "metric": "procrustes", "fold": fold, "source_step": 9, "target_step": 9}

        def known(value: float) -> dict:
            return {"source_accuracy": value, "target_accuracy": value}

        value = 0.8 + noise * rng.standard_normal()
        rows += both_ways(x, y, i, i, (a, a), score=value, condition="wd", **common, **known(0.95))
        for protocol, (s, (shift, levels)) in product(protocols, enumerate(shifts.items())):
            for k, level in enumerate(levels):
                value = 0.8 - gap(s, k, a) + noise * rng.standard_normal()
                where = {"condition": shift, "level": level, "protocol": protocol, **known(accuracy(s, k))}
                rows += both_ways(x, y, i, i, (a, a), score=value, **common, **where)
    return whole(rows)
