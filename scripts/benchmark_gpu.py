"""What a GPU takes for ResNet-50 × ResNet-50 after extraction: 2,809 pairs, five folds, the paper's four metrics.

    python scripts/benchmark_gpu.py
    python scripts/benchmark_gpu.py --tflops 30 --gb 2000 --cores 32

An estimate without a GPU; on one, scripts/benchmark_scale.py --full measures it. Responses are random, of the widths
of the network's 53 convolutions and of no more directions than a convolution's inputs leave it. The program takes a
GPU's path on a CPU: 12 of the layers on either side (144 pairs, a twentieth), evenly by width, one of the five folds,
and fewer stimuli. Operators are counted by a dispatch
mode, and each two widths stand for all pairs of these widths. What that makes on a card of the given rates is an
estimate: products at --tflops, other operators at --gb (GB/s), 10 microseconds a call, eigenvectors at a twentieth of
the products' rate and 2 ms at least; moments grow with the stimuli, and nothing else does. Assignments run on the CPU
too: the seconds of each are this machine's.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from convergence.alignment import engine
from convergence.alignment.arrays import Arrays
from convergence.alignment.engine import evaluate
from convergence.alignment.folds import assign
from convergence.alignment.metrics import polar
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.moments.accumulate import Pass, accumulate

FOLDS, SAMPLED, DIRECTIONS = 5, 12, ("x->y", "y->x")
_CALL, _EIGEN_CALL, _EIGEN_SHARE = 1e-5, 2e-3, 1 / 20  # seconds, seconds, of the products' rate
_EIGEN = 9  # operations for the eigenvectors of n × n numbers, times n³
Kind = tuple[int, int]  # units, and directions that they vary along


def resnet50() -> list[Kind]:
    """Of each of the 53 convolutions, those of the shortcuts too."""
    found, inputs = [(64, 64)], 64
    for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(blocks):
            found += [(planes, planes), (planes, planes), (4 * planes, planes)]
            found += [(4 * planes, min(4 * planes, inputs))] if i == 0 else []
            inputs = 4 * planes
    return found


def responses(kinds: list[Kind], stimuli: int, side: str) -> Arrays:
    """Layers that share 50 latent dimensions, float32."""
    latent = torch.randn(stimuli, 50, generator=torch.Generator().manual_seed(0))
    seed = torch.Generator().manual_seed(ord(side))
    layers = {}
    for i, (units, rank) in enumerate(kinds):
        inputs = latent @ torch.randn(50, rank, generator=seed) / 7 + torch.randn(stimuli, rank, generator=seed)
        mixed = inputs @ torch.randn(rank, units, generator=seed) / rank**0.5 if rank < units else inputs
        layers[f"{side}{i}"] = mixed.numpy()
    return Arrays(layers, side)


@dataclass
class Work:
    """What a part of the program asks of a device."""

    calls: float = 0
    flops: float = 0  # of products and Cholesky factors
    bytes: float = 0  # read and written by all others
    eigen: Counter[int] = field(default_factory=Counter)  # sizes of matrices whose eigenvectors are found

    def add(self, other: Work, times: float = 1) -> None:
        self.calls += times * other.calls
        self.flops += times * other.flops
        self.bytes += times * other.bytes
        for size, count in other.eigen.items():
            self.eigen[size] += times * count  # type: ignore[assignment]

    def seconds(self, tflops: float, gb: float) -> float:
        """On a card of these rates."""
        rate = tflops * 1e12
        eigen = (n * max(_EIGEN_CALL, _EIGEN * size**3 / (_EIGEN_SHARE * rate)) for size, n in self.eigen.items())
        return self.calls * _CALL + self.flops / rate + self.bytes / (gb * 1e9) + sum(eigen)


class Count(TorchDispatchMode):
    """Counts what runs inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made, name = function(*args, **(kwargs or {})), function.__name__.split(".")[0].strip("_")
        if function.is_view:
            return made
        self.work.calls += 1
        tensors = [a for a in args if isinstance(a, Tensor)]
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            left, right = tensors[-2:]
            self.work.flops += 2 * left.numel() * right.shape[-1]
        elif name == "linalg_cholesky_ex":
            self.work.flops += tensors[0].numel() * tensors[0].shape[-1] / 3
        elif name == "cholesky_solve":
            self.work.flops += 2 * tensors[0].numel() * tensors[1].shape[-1]
        elif name == "linalg_eigh":
            self.work.eigen[tensors[0].shape[-1]] += prod(tensors[0].shape[:-2])
        else:
            there = tensors + [made] * isinstance(made, Tensor)
            self.work.bytes += sum(t.numel() * t.element_size() for t in there)
        return made


def counted(into: Work, run: Callable[[], Any], times: float = 1) -> Any:
    with Count() as count:
        found = run()
    into.add(count.work, times)
    return found


@dataclass
class Found:
    """Of all layers and folds: the work of each part, CPU seconds of assignments, the share of maps in doubt."""

    parts: dict[str, Work] = field(default_factory=lambda: defaultdict(Work))
    assignments: float = 0
    longest: float = 0  # of them
    doubtful: float = 0


def stand_in(stimuli: int, asked: int) -> Found:
    """What ``asked`` stimuli of all layers take, from fewer of both."""
    every = sorted(resnet50())
    kinds = [every[int((i + 0.5) * len(every) / SAMPLED)] for i in range(SAMPLED)]
    layers, sampled = (Counter(units for units, _ in some) for some in (every, kinds))
    x, y = responses(kinds, stimuli, "x"), responses(kinds, stimuli, "y")
    pairs, fold = list(product(x.layers, y.layers)), assign(stimuli, FOLDS)
    found = Found()
    grown = products(layers) / products(sampled) * asked / stimuli
    how = Pass(torch.device("cpu"), chunk=1000)
    moments = counted(found.parts["moments"], lambda: accumulate(x, y, pairs, fold, how), grown)
    tile = engine.Tile(moments, [moments], pairs, [0], [], None)
    for stack in dict.fromkeys(stack for side in (tile.x, tile.y) for stack, _ in side.values()):
        units = stack.live.shape[-1]
        counted(found.parts["eigenvectors of layers"], stack.decompose, FOLDS * layers[units] / sampled[units])
    for block in tile.blocks:
        a, b = (side[0].live.shape[-1] for side in (block.x, block.y))
        score_block(found, tile, block, FOLDS * layers[a] * layers[b] / (sampled[a] * sampled[b]))
    found.doubtful /= FOLDS * len(every) ** 2
    return found


def score_block(found: Found, tile: engine.Tile, block: engine.Block, times: float) -> None:
    """Score the pairs of a block, and add what that takes ``times`` over."""
    parts = found.parts
    training, held_out = counted(parts["statistics of pairs"], lambda: tile.data(block), times)
    for name in ("linear", "procrustes"):
        scores = counted(parts[name], lambda: evaluate(training, held_out, [MEASURES[name]], DIRECTIONS), times)  # noqa: B023
    doubtful = scores["procrustes", "x->y"][..., 5] > 0
    if doubtful.any():
        found.doubtful += times * int(doubtful.sum())
        again, where = parts["procrustes again, where in doubt"], {"procrustes": doubtful}
        counted(again, lambda: evaluate(training, held_out, [MEASURES["procrustes"]], DIRECTIONS, where), times)
    matching = MEASURES["soft_matching"]  # permutation takes its plans, at equal widths
    assert matching.fit is not None
    assert matching.score is not None
    assert matching.reverse is not None
    start = time.process_time()
    plan = matching.fit(training)
    seconds = time.process_time() - start
    found.assignments += times * seconds
    found.longest = max(found.longest, seconds / len(block.pairs))

    def both_ways() -> None:
        matching.score(plan, held_out)
        matching.score(matching.reverse(plan), held_out.reversed)

    equal = block.x[0].live.shape[-1] == block.y[0].live.shape[-1]
    counted(parts["matching, scored"], both_ways, times * (2 if equal else 1))


def products(widths: Counter[int]) -> int:
    """Between all layers of either side, and within those of both."""
    return sum(n * c for n, c in widths.items()) ** 2 + 2 * sum(n * n * c for n, c in widths.items())


def estimated(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    engine._STACKED = engine._STACKED_ON_DEVICE  # as many pairs to a block as on a card
    start = time.process_time()
    with polar.forced(True):
        found = stand_in(options.stimuli, 50_000)
    print("An estimate, not a measurement: 2,809 pairs, 5 folds, both directions, 50,000 stimuli, on a card of")
    print(f"{options.tflops:g} TFLOPS in float64 products and {options.gb:,g} GB/s, beside {options.cores} cores.")
    print(f"{'part':<34}{'calls':>9}{'10^12 ops':>11}{'GB':>8}{'eigh':>7}{'seconds':>9}")
    total = 0.0
    for name, work in found.parts.items():
        seconds = work.seconds(options.tflops, options.gb)
        total += seconds
        eigen = sum(work.eigen.values())
        print(f"{name:<34}{work.calls:>9,.0f}{work.flops / 1e12:>11.1f}{work.bytes / 1e9:>8,.0f}", end="")
        print(f"{eigen:>7,.0f}{seconds:>9.1f}")
    print(f"{'on the card':<69}{total:>9.1f}")
    print(f"assignments, {found.assignments:,.0f} s of this CPU (the longest {found.longest:.1f} s)".ljust(69), end="")
    print(f"{found.assignments / options.cores:>9.1f}")
    spent = time.process_time() - start
    print(f"Polar factors in doubt: {100 * found.doubtful:.0f} %. The stand-in took {spent:.0f} s of CPU.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stimuli", type=int, default=3000)
    parser.add_argument("--tflops", type=float, default=10, help="of the card, in float64 products")
    parser.add_argument("--gb", type=float, default=1500, help="GB/s that it reads and writes")
    parser.add_argument("--cores", type=int, default=16, help="of the CPU beside it")
    options = parser.parse_args()
    estimated(options)


if __name__ == "__main__":
    main()
