"""How long chance takes: draws of both nulls against a plain run, and canonical correlations of many layers.

    python scripts/benchmark_nulls.py                      # 200 draws, from 8 that are timed
    python scripts/benchmark_nulls.py --draws 200 --threads 2

Seven matched layers of 64 to 512 units, all four metrics, five folds, both directions, on responses that are drawn.
CPU seconds count, since other programs on the machine lengthen the wall clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmark import responses

from convergence import align
from convergence.alignment.metrics.matching import assignment

WIDTHS = [64, 64, 128, 128, 256, 256, 512]
MANY = ([32, 16, 96, 144, 40, 240, 480, 80, 672], [32, 16, 144, 40, 240, 480, 672, 112, 192])
ASKED = 200


def seconds(work: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """CPU seconds of all threads."""
    start = time.process_time()
    work(*arguments, device="cpu", **options)
    return time.process_time() - start


def floors(stimuli: int, folds: int = 5) -> dict[str, float]:
    """CPU seconds of what one draw cannot do without: decompositions, assignments, and products of the least shape."""
    least = {"shuffle": 0.0, "rotation": 0.0}
    for n in WIDTHS:
        x, square, held = (torch.randn(rows, n, dtype=torch.float64) for rows in (stimuli, n, min(n, stimuli // folds)))
        product, prediction = best(torch.matmul, square, square), best(torch.matmul, held, square)
        assigned = best(assignment, np.random.default_rng(0).normal(size=(n, n)))
        # Procrustes: three products and eigenvectors. Ridge maps: a product each way. Both: predictions each way.
        fitted = best(torch.linalg.eigh, square.T @ square) + 5 * product + 4 * prediction
        least["shuffle"] += best(torch.matmul, x.T, x) + folds * (fitted + assigned)
        least["rotation"] += best(torch.linalg.qr, square) + 2 * folds * (2 * prediction + assigned)
    return least


def best(work: Callable[..., Any], *arguments: Any) -> float:
    """The least CPU seconds of three times."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work(*arguments)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=8, help="timed; 200 are reckoned from them")
    parser.add_argument("--stimuli", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x, y = (responses(options.stimuli, WIDTHS, seed) for seed in (1, 2))
    align({"a": x["layer0"]}, {"b": y["layer0"]}, null="both", draws=19)  # the first call pays for the libraries
    plain = min(seconds(align, x, y, pairs="matched") for _ in range(2))
    print(f"plain run: {plain:.2f} s of CPU, {options.threads} threads, M = {options.stimuli:,}")
    draws: dict[str, Any] = {"draws": options.draws, "alpha": 1 / (1 + options.draws)}
    least = floors(options.stimuli)
    for null in ("shuffle", "rotation"):
        drawn = seconds(align, x, y, pairs="matched", null=null, **draws)
        spent = (drawn - plain) * ASKED / options.draws
        print(f"{ASKED} draws of {null}: {spent:.1f} s of CPU, {spent / plain:.1f} plain runs, ", end="")
        print(f"{spent / ASKED / least[null]:.1f} times their products and decompositions alone", flush=True)
    x, y = (responses(options.stimuli, widths, seed) for seed, widths in enumerate(MANY, 1))
    for metrics in (["cca"], ["cca", "pwcca"]):
        spent = seconds(align, x, y, metrics=metrics)
        print(f"{' and '.join(metrics)}, {len(x)} × {len(y)} layers of 16 to 672 units: {spent:.1f} s of CPU")


if __name__ == "__main__":
    main()
