"""What ImageNet's scale takes: resnet50 × resnet50, 53 convolutions each, 50,000 images, all pairs of layers.

    python scripts/benchmark_scale.py                # parts, extrapolated: some minutes on two cores
    python scripts/benchmark_scale.py --full         # all of it, on a GPU
    python scripts/benchmark_scale.py --json scale.json

Weights are random: the time does not depend on them. Without --full, extraction is timed on a few images and is taken
to grow with their number; moments on a part of the layers and images, and are taken to grow with the multiplications;
each metric on one pair of each two widths, and is taken to cost as much for every pair and fold of these widths. That
is too much for linear, whose decomposition of a source serves all its targets.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convergence import align
from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.alignment.arrays import Arrays
from convergence.alignment.folds import assign
from convergence.alignment.moments.accumulate import Pass, accumulate
from convergence.alignment.score import METRICS, score
from convergence.models import library
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig, SeedsConfig
from convergence.stimuli.base import ArrayStimuli
from convergence.system.device import resolve_device

_SMALL_FOLDS = 2  # each metric is timed on as few folds as can be


def networks() -> list[Network]:
    """Two untrained resnet50, tapped at all convolutions, those of the shortcuts too."""
    config = LibraryConfig(name="resnet50", library=Library.timm, seeds=SeedsConfig(init=[0, 1]))
    config.layers = ["conv1", "layer*.conv?", "layer*.downsample.0"]
    return [run[-1] for run in library.trajectories(config)]


def images(count: int, size: int) -> ArrayStimuli:
    """Noise: its content does not matter to the time."""
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    ids = tuple(map(str, range(count)))
    return ArrayStimuli("noise", ("noise",), ids, torch.zeros(count, dtype=torch.int64), "noise", array=pixels)


def noise(widths: dict[str, int], rows: int, seed: int) -> dict[str, np.ndarray]:
    """Responses that share some dimensions, as two networks' do."""
    rng, shared = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(rows, 50))
    return {
        name: (shared @ rng.normal(size=(50, n)) / 7 + rng.normal(size=(rows, n))).astype("f4")
        for name, n in widths.items()
    }


def seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def multiplications(x: list[int], y: list[int], rows: int) -> float:
    """Of the moments: within either side's layers, and between all."""
    return float(rows) * (sum(n * n for n in x) + sum(n * n for n in y) + sum(x) * sum(y))


def of_moments(widths: dict[str, int], stimuli: int, rows: int, every: int, device: torch.device) -> dict[str, float]:
    """Seconds for all, and the share of the speed of one large product of the same type."""
    part = {name: n for i, (name, n) in enumerate(widths.items()) if i % every == 0}
    x, y = (Arrays(noise(part, rows, seed), side) for seed, side in enumerate("xy"))
    pairs = list(product(part, part))
    taken = seconds(lambda: accumulate(x, y, pairs, assign(rows), Pass(device, chunk=1000)))
    count = multiplications([*part.values()], [*part.values()], rows)
    a = torch.rand(rows, 2048, dtype=torch.float64, device=device)
    bare = seconds(lambda: a.T @ a) / (rows * 2048**2)
    whole = multiplications([*widths.values()], [*widths.values()], stimuli)
    return {"seconds": taken / count * whole, "share of the bare products' speed": bare / (taken / count)}


def of_metrics(widths: dict[str, int], folds: int, device: torch.device) -> dict[str, float]:
    """Seconds of each metric for all pairs, folds and both directions."""
    counts = Counter(tuple(sorted(pair)) for pair in product(widths.values(), widths.values()))
    total = dict.fromkeys(METRICS, 0.0)
    for a, b in combinations_with_replacement(sorted(set(widths.values())), 2):
        rows = _SMALL_FOLDS * (b + 64)  # as many as units and some in each fold: fits of full rank, short moments
        x, y = ({name: values} for name, values in noise({"x": a, "y": b}, rows, 1).items())
        left, right = Arrays(x, "x"), Arrays(y, "y")
        fold = assign(rows, _SMALL_FOLDS)

        def moments(left: Any = left, right: Any = right, fold: Any = fold) -> None:
            accumulate(left, right, [("x", "y")], fold, Pass(device, chunk=1000))

        before = seconds(moments)
        for metric in METRICS:
            if metric == "permutation" and a != b:
                continue
            taken = seconds(lambda m=metric, x=x, y=y: align(x, y, metrics=[m], folds=_SMALL_FOLDS, device=str(device)))  # type: ignore[misc]
            total[metric] += max(0.0, taken - before) / _SMALL_FOLDS * folds * counts[a, b]
    return total


def in_parts(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    first = networks()[0]
    few = images(options.images, 224)
    with tempfile.TemporaryDirectory() as folder:
        loader = Loader(first.preprocess, few, Path(folder), 32, 0, device)
        taken = seconds(lambda: extract(first, loader))
        found = extract(first, loader)
    widths = found.layers
    assert (len(widths), sum(widths.values())) == (53, 26_560)
    return {
        "extraction of one network (seconds)": taken / options.images * options.stimuli,
        "responses of one network (GiB)": 4 * sum(widths.values()) * options.stimuli / 2**30,
        "moments": of_moments(widths, options.stimuli, options.rows, options.every, device),
        "metrics (seconds)": of_metrics(widths, options.folds, device),
        "extrapolated": True,
    }


def in_full(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    both, every = networks(), images(options.stimuli, 224)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        x, y = (extract(n, Loader(n.preprocess, every, Path(folder), 256, None, device)) for n in both)
        extraction = time.perf_counter() - start
        pairs = list(product(x.layers, y.layers))
        scoring = {"device": device, "memory_gb": options.memory_gb, "folds": options.folds}
        taken = {m: seconds(lambda m=m: score(x, y, pairs, metrics=[m], **scoring)) for m in METRICS}  # type: ignore[misc, arg-type]
        taken["all from the same moments"] = seconds(lambda: score(x, y, pairs, **scoring))  # type: ignore[arg-type]
    return {
        "extraction of both networks (seconds)": extraction,
        "moments and metric (seconds)": taken,
        "extrapolated": False,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all of it, nothing extrapolated")
    parser.add_argument("--stimuli", type=int, default=50_000)
    parser.add_argument("--images", type=int, default=64, help="that extraction is timed on")
    parser.add_argument("--rows", type=int, default=2000, help="images that moments are timed on")
    parser.add_argument("--every", type=int, default=4, help="moments are timed on every so-manieth layer")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--memory-gb", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    found = (in_full if options.full else in_parts)(options, device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    found |= {"peak memory of this process (MiB)": round(peak), "stimuli": options.stimuli, "torch": torch.__version__}
    found["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    text = json.dumps(found, indent=1, default=lambda value: round(float(value), 2))
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
