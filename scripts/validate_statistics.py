#!/usr/bin/env python
"""What p-values, calibrated scores and intervals promise, and what simulation finds: tables in Markdown.

usage: python scripts/validate_statistics.py [--repetitions 500] [--draws 39] [--seconds 1200] [--seed 0]

Each setting stops at its share of ``--seconds``; the tables say how many repetitions it had.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy import stats

from convergence import align
from convergence.results.uncertainty import Sample, over_networks, over_shifts, over_stimuli

SHAPES = {"equal widths, M > N": (40, 6, 6), "unequal widths, M > N": (40, 6, 9), "M < N": (30, 36, 36)}
SHUFFLED = ("linear", "procrustes", "permutation", "soft_matching", "partial_soft_matching", "cca", "cka", "rsa")
TURNED = ("permutation", "soft_matching", "partial_soft_matching")
SLOW = {"cca", "pwcca"}  # of M < N every correlation is 1 in training: nothing to test


@dataclass(frozen=True)
class Setting:
    """One null, metric and shape of data under which p must be uniform."""

    null: str
    metric: str
    shape: str

    def data(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Responses under the null: independent of each other, or shared but for a random rotation of the source."""
        m, n_x, n_y = SHAPES[self.shape]
        if self.null == "shuffle":
            return rng.standard_normal((m, n_x)), rng.standard_normal((m, n_y))
        shared = rng.standard_normal((m, 4))
        y = shared @ rng.standard_normal((4, n_y)) + rng.standard_normal((m, n_y))
        x = shared @ rng.standard_normal((4, n_x)) + rng.standard_normal((m, n_x))
        turn, r = np.linalg.qr(rng.standard_normal((n_x, n_x)))
        return x @ (turn * np.sign(np.diag(r))), y


def settings() -> list[Setting]:
    """All that a null can be tested on."""
    found = []
    for null, metrics in (("shuffle", SHUFFLED), ("rotation", TURNED)):
        for metric in metrics:
            for shape, (_, n_x, n_y) in SHAPES.items():
                if not (metric == "permutation" and n_x != n_y) and not (metric in SLOW and "<" in shape):
                    found.append(Setting(null, metric, shape))
    return found


def repeated(seconds: float, repetitions: int, seed: int) -> Iterator[tuple[int, np.random.Generator]]:
    """A generator of its own for each repetition, until there are enough or the time is up."""
    end = time.monotonic() + seconds
    for i in range(repetitions):
        if i >= 20 and time.monotonic() > end:
            return
        yield i, np.random.default_rng((seed, i))


def uniformity(setting: Setting, *, draws: int, seconds: float, repetitions: int, seed: int) -> tuple[int, float]:
    """Repetitions, and the p of Kolmogorov and Smirnov that the setting's p-values are uniform.

    p = (1 + #{null ≥ s}) / (1 + B) is uniform on a grid of 1 + B points; a uniform number less than its step is
    taken off, which makes it uniform between 0 and 1.
    """
    found = []
    for i, rng in repeated(seconds, repetitions, seed):
        x, y = setting.data(rng)
        options = {"metrics": setting.metric, "directions": "forward", "draws": draws, "null_seed": 10**6 * seed + i}
        table = align(x, y, null=setting.null, device="cpu", seed=i, **options)  # type: ignore[arg-type]
        p = table.p_value.dropna().iloc[0]
        found.append(p - rng.uniform() / (1 + draws))
    return len(found), float(stats.kstest(found, "uniform").pvalue)


def calibrated(ratio: float, *, draws: int, seconds: float, repetitions: int, seed: int) -> tuple[int, float, float]:
    """Repetitions; share of independent data whose calibrated Procrustes score is above 0; mean of that score."""
    found = []
    for i, rng in repeated(seconds, repetitions, seed):
        m, n = 40, round(40 * ratio)
        x, y = rng.standard_normal((m, n)), rng.standard_normal((m, n))
        options = {"metrics": "procrustes", "directions": "forward", "draws": draws, "null_seed": 10**6 * seed + i}
        table = align(x, y, null="shuffle", device="cpu", seed=i, **options)  # type: ignore[arg-type]
        found.append(table.score_calibrated.dropna().iloc[0])
    return len(found), float(np.mean(np.array(found) > 0)), float(np.mean(found))


def networks_covered(n: int, rng: np.random.Generator, kinds: int = 1) -> bool:
    """Whether the interval over n networks (of each kind) of a mean over pairs holds the true mean.

    Each network has an effect of its own, each pair a smaller one, each fold noise.
    """
    groups = [[(f"kind{k}", str(i)) for i in range(n)] for k in range(kinds)]
    every = [network for group in groups for network in group]
    pairs = list(combinations(every, 2)) if kinds == 1 else [(a, b) for a in groups[0] for b in groups[1]]
    own = dict(zip(every, rng.standard_normal(len(every)), strict=True))
    values = np.array([own[a] + own[b] + 0.5 * rng.standard_normal() + 0.2 * rng.standard_normal(5) for a, b in pairs])
    low, high = over_networks([Sample(tuple(pairs), values)], lambda mean: float(mean)).interval
    return low <= 0 <= high


def shifts_covered(n: int, rng: np.random.Generator) -> bool:
    """Whether the interval over n shifts of their mean holds the true mean."""
    values = rng.standard_normal(n)
    low, high = over_shifts(lambda places: float(values[places].mean()), n).interval
    return low <= 0 <= high


def fold_intervals(folds: int, rng: np.random.Generator) -> tuple[float, tuple[float, float]]:
    """A held-out Procrustes score of 60 stimuli, and its interval over folds."""
    shared = rng.standard_normal((60, 3))
    x, y = (shared @ LOADINGS[i] + rng.standard_normal((60, 6)) for i in range(2))
    scores = align(x, y, metrics="procrustes", directions="forward", folds=folds, device="cpu").score
    return float(scores.mean()), over_stimuli(scores).interval


LOADINGS = np.random.default_rng(0).standard_normal((2, 3, 6))


def coverage(covered: Callable[[np.random.Generator], bool], seconds: float, repetitions: int, seed: int) -> float:
    """Share of repetitions whose interval holds the truth."""
    return float(np.mean([covered(rng) for _, rng in repeated(seconds, repetitions, seed)]))


def folds_coverage(folds: int, seconds: float, repetitions: int, seed: int) -> tuple[int, float]:
    """Repetitions, and how many intervals hold the mean over all of them, which is what other images would give."""
    found = [fold_intervals(folds, rng) for _, rng in repeated(seconds, repetitions, seed)]
    truth = np.mean([value for value, _ in found])
    return len(found), float(np.mean([low <= truth <= high for _, (low, high) in found]))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--draws", type=int, default=39)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every, ratios, fold_numbers = settings(), (0.1, 0.5, 1.0, 2.0), (5, 10)
    common = {"repetitions": options.repetitions, "seed": options.seed}
    common["seconds"] = options.seconds / (len(every) + len(ratios) + len(fold_numbers))

    print("| null | metric | data | repetitions | p of uniformity |\n|---|---|---|---|---|")
    for s in every:
        count, p = uniformity(s, draws=options.draws, **common)
        print(
            f"| {s.null} | {s.metric} | {s.shape} | {count} | {p:.3f}{'' if p > 0.01 else ' (not uniform)'} |",
            flush=True,
        )
    print("\n| N/M, independent data | repetitions | calibrated score above 0 | its mean |\n|---|---|---|---|")
    for ratio in ratios:
        count, above, mean = calibrated(ratio, draws=options.draws, **common)
        print(f"| {ratio:g} | {count} | {100 * above:.1f} % | {mean:.4f} |", flush=True)
    print("\n| 95 % interval | repetitions | holds the truth |\n|---|---|---|")
    many = max(options.repetitions, 4000)
    for kinds in (1, 2):
        for n in (3, 5, 10):
            share = coverage(lambda rng, n=n, k=kinds: networks_covered(n, rng, k), 60, many, options.seed)  # type: ignore[misc]
            what = f"over {n} networks" if kinds == 1 else f"over {n} networks of each of two models"
            print(f"| {what} | {many} | {100 * share:.1f} % |", flush=True)
    for n in (5, 17):
        share = coverage(lambda rng, n=n: shifts_covered(n, rng), 60, many, options.seed)  # type: ignore[misc]
        print(f"| over {n} shifts | {many} | {100 * share:.1f} % |", flush=True)
    for folds in fold_numbers:
        count, share = folds_coverage(folds, **common)  # type: ignore[arg-type]
        print(f"| over stimuli, from {folds} folds | {count} | {100 * share:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
