"""The engine by itself: operations of a block, a block on a GPU, and scoring against another checkout.

    python scripts/benchmark_engine.py                    # operator calls per layer pair and fold; seconds on a GPU
    python scripts/benchmark_engine.py --against PATH     # all metrics of the paper, here and in the checkout at PATH

Operators are counted by a dispatch mode in a block of 36 pairs of one shape, on the path that a GPU takes. Against
another checkout both score the same drawn responses in processes of their own, in turns; CPU seconds count, since
other programs on the machine lengthen the wall clock. Layers have the widths of convolutions of EfficientNet-lite.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np

WIDTHS = ((32, 96, 240, 480), (40, 144, 240, 672))
PAPER = ("linear", "procrustes", "permutation", "soft_matching")


def responses(stimuli: int, widths: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    """Layers that share 40 latent dimensions."""
    shared, rng = np.random.default_rng(0).normal(size=(stimuli, 40)), np.random.default_rng(seed)
    return {
        f"layer{i}": (np.tanh(shared @ rng.normal(size=(40, n)) / 5) + rng.normal(size=(stimuli, n)) / 2).astype("f4")
        for i, n in enumerate(widths)
    }


def block(device: str, width: int, stimuli: int = 1000) -> tuple[float, float]:
    """Operator calls and seconds per layer pair and fold, of 36 pairs of ``width`` units and 5 folds."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from convergence.alignment.arrays import Arrays
    from convergence.alignment.engine import Tile
    from convergence.alignment.folds import assign
    from convergence.alignment.metrics import polar
    from convergence.alignment.metrics.catalogue import MEASURES
    from convergence.alignment.moments.accumulate import accumulate

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.calls += 1
            return function(*args, **(kwargs or {}))

    x, y = (Arrays(responses(stimuli, (width,) * 6, seed), "x") for seed in (1, 2))
    pairs, fold = list(product(x.layers, y.layers)), assign(stimuli)
    moments = accumulate(x, y, pairs, fold, device=torch.device(device), chunk=stimuli)
    metrics = [MEASURES[name] for name in PAPER]

    def work() -> None:
        tile = Tile(moments, [moments], pairs, range(5), metrics, None)
        for one in tile.blocks:
            tile.observed(one, ("x->y", "y->x"))

    with polar.forced(True):
        work()
        with Count() as count:
            work()
        start = time.perf_counter()
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    each = len(pairs) * 5
    return count.calls / each, (time.perf_counter() - start) / each


def against(path: Path, turns: int, stimuli: int) -> None:
    """CPU seconds of each metric here and there: medians over the turns, and the median of the turns' ratios."""
    here = Path(__file__).resolve().parent.parent
    spent: dict[str, list[tuple[float, float]]] = {}
    for _ in range(turns):
        both = []
        for root in (path, here):
            command = [sys.executable, __file__, "--score", "--stimuli", str(stimuli)]
            told = subprocess.run(
                command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}
            )
            both.append(dict(line.split() for line in told.stdout.splitlines()))
        for name in both[0]:
            spent.setdefault(name, []).append((float(both[0][name]), float(both[1][name])))
    print(f"{'CPU seconds':<16}{'there':>8}{'here':>8}{'ratio':>8}")
    for name, times in spent.items():
        there, ours = (statistics.median(side) for side in zip(*times, strict=True))
        print(f"{name:<16}{there:>8.2f}{ours:>8.2f}{statistics.median(a / b for a, b in times):>8.2f}")


def score(stimuli: int) -> None:
    """Print the CPU seconds of each metric, and of all."""
    from convergence import align

    x, y = (responses(stimuli, widths, seed) for seed, widths in enumerate(WIDTHS, 1))
    align({"a": x["layer0"]}, {"b": y["layer0"]})  # the first call pays for starting the libraries
    for name, metrics in (*((metric, (metric,)) for metric in PAPER if metric != "permutation"), ("all", PAPER)):
        start = time.process_time()
        align(x, y, metrics=metrics, device="cpu")
        print(name, time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="a checkout to compare with")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--stimuli", type=int, default=1000)
    parser.add_argument("--width", type=int, default=64, help="units of the layers of the block")
    parser.add_argument("--score", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.score:
        score(options.stimuli)
        return
    import torch

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        calls, seconds = block(device, options.width, options.stimuli)
        print(f"{device}: 36 pairs of {options.width} × {options.width} units, 5 folds, the paper's four metrics:")
        print(f"  {calls:.1f} operator calls and {1000 * seconds:.2f} ms per layer pair and fold")
    if options.against:
        against(options.against.resolve(), options.turns, options.stimuli)


if __name__ == "__main__":
    main()
