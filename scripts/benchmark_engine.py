"""The engine by itself: operations of a block, a block on a GPU, and scoring against another checkout.

    python scripts/benchmark_engine.py                    # operator calls per layer pair and fold; seconds on a GPU
    python scripts/benchmark_engine.py --against PATH     # all metrics of the paper, here and in the checkout at PATH
    python scripts/benchmark_engine.py --against PATH --real    # the same on 13 × 14 layers of trained networks

Operators are counted by a dispatch mode in a block of 36 pairs of one shape, on the path that a GPU takes. Against
another checkout both score the same drawn responses in processes of their own, in turns; CPU seconds count, since
other programs on the machine lengthen the wall clock. Layers have the widths of convolutions of EfficientNet-lite;
with ``--real`` they are its convolutions, every fourth of lite0 and every fifth of lite1, which see the photographs
of imagenet_photographs.tar (in ``--data``, by default $CONVERGENCE_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
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


def photographed(data: Path, folder: Path) -> Path:
    """Centre units of convolutions of the two trained networks, one after the other in a file of ``folder``."""
    import torch

    from convergence import extract
    from convergence.experiment.compose import compose
    from convergence.models import library
    from convergence.stimuli.load import load

    archive = data / "imagenet_photographs.tar"
    if not archive.is_file():
        raise SystemExit(f"there is no {archive}: give the folder of the photographs by --data or CONVERGENCE_DATA.")
    with tarfile.open(archive) as images:
        images.extractall(folder, filter="data")
    found = {}
    for side, (name, every) in zip("xy", (("efficientnet_lite0", 4), ("efficientnet_lite1", 5)), strict=True):
        config = compose([f"model={name}", "dataset=image_folder", f"dataset.root={folder / 'photographs'}"])
        network, stimuli = library.trajectories(config.model)[0][-1], load(config.dataset, "all")  # type: ignore
        model, images = network.build(), network.preprocess(stimuli, range(len(stimuli)))
        layers = [n for n, module in model.named_modules() if isinstance(module, torch.nn.Conv2d)][::every]
        for layer, values in extract(model, images, layers=layers).items():
            found[f"{side} {layer}"] = np.asarray(values)
    np.savez(folder / "responses.npz", **found)
    return folder / "responses.npz"


def block(device: str, width: int, stimuli: int = 1000) -> tuple[float, float]:
    """Operator calls and seconds per layer pair and fold, of 36 pairs of ``width`` units and 5 folds."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from convergence.alignment.arrays import Arrays
    from convergence.alignment.engine import Tile
    from convergence.alignment.folds import assign
    from convergence.alignment.metrics import polar
    from convergence.alignment.metrics.catalogue import MEASURES
    from convergence.alignment.moments.accumulate import Pass, accumulate

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.calls += 1
            return function(*args, **(kwargs or {}))

    x, y = (Arrays(responses(stimuli, (width,) * 6, seed), "x") for seed in (1, 2))
    pairs, fold = list(product(x.layers, y.layers)), assign(stimuli)
    moments = accumulate(x, y, pairs, fold, Pass(torch.device(device), chunk=stimuli))
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


def against(path: Path, turns: int, how: list[str]) -> None:
    """CPU seconds of each metric here and there: medians over the turns, and the median of the turns' ratios."""
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    here = Path(__file__).resolve().parent.parent
    spent: dict[str, list[tuple[float, float]]] = {}
    for _ in range(turns):
        both = []
        for root in (path, here):
            command = [sys.executable, __file__, "--score", *how]
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


def score(stimuli: int, real: Path | None, only: list[str]) -> None:
    """Print the CPU seconds of each metric, and of all."""
    from convergence import align

    if real is None:
        x, y = (responses(stimuli, widths, seed) for seed, widths in enumerate(WIDTHS, 1))
    else:
        both = np.load(real)
        x, y = ({n: both[n] for n in both.files if n.startswith(side)} for side in "xy")
    some = np.random.default_rng(0).normal(size=(100, 8))
    align({"a": some}, {"b": some})  # the first call pays for starting the libraries
    for name in only:
        metrics = PAPER if name == "all" else (name,)
        start = time.process_time()
        align(x, y, metrics=metrics, device="cpu")
        print(name, time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="a checkout to compare with")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--stimuli", type=int, default=1000)
    parser.add_argument("--width", type=int, default=64, help="units of the layers of the block")
    parser.add_argument("--only", nargs="+", default=[*PAPER, "all"], help="metrics to time against the checkout")
    parser.add_argument("--real", action="store_true", help="layers of trained networks, against the checkout")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CONVERGENCE_DATA", "../shared/data")))
    parser.add_argument("--responses", type=Path, help="responses of --real that are there already")
    parser.add_argument("--score", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.score:
        score(options.stimuli, options.responses, options.only)
        return
    if options.real:
        if options.against is None:
            parser.error("--real compares with a checkout: give it by --against PATH.")
        with tempfile.TemporaryDirectory() as folder:
            there = options.responses or photographed(options.data, Path(folder))
            how = ["--only", *options.only, "--responses", str(there.resolve())]
            against(options.against.resolve(), options.turns, how)
        return
    import torch

    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        calls, seconds = block(device, options.width, options.stimuli)
        print(f"{device}: 36 pairs of {options.width} × {options.width} units, 5 folds, the paper's four metrics:")
        print(f"  {calls:.1f} operator calls and {1000 * seconds:.2f} ms per layer pair and fold")
    if options.against:
        how = ["--only", *options.only, "--stimuli", str(options.stimuli)]
        against(options.against.resolve(), options.turns, how)


if __name__ == "__main__":
    main()
