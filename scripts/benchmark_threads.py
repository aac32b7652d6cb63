"""Small images through a small network: one thread, all threads inside each operator, a network on each thread.

    python scripts/benchmark_threads.py

Prints the seconds of each, by the clock and of CPU, in turns; extraction works in the third way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from threading import Event

import torch

from convergence.activations.taps import taps
from convergence.models.recipes import build
from convergence.system import cores
from convergence.system.threads import at_most, one_thread, side_by_side

LAYERS = [f"layer{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2)]


def forward(batches: int) -> None:
    """So many batches of 64 images of 32 × 32 through ``tiny_resnet``, seven layers tapped."""
    images, model = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8), build("tiny_resnet", 16, 0).eval()
    with taps(model, ["conv1", *LAYERS]) as taken, torch.inference_mode():
        for _ in range(batches):
            model(images.float() / 255)
            assert len(taken) == 1 + len(LAYERS)


def timed(name: str, work: Callable[[], None]) -> None:
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    print(f"{name:<24} {time.perf_counter() - clock:6.2f} s, CPU {time.process_time() - cpu:6.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batches", type=int, default=300)
    options = parser.parse_args()
    count = cores.available()
    at_most(count)
    part = options.batches // count
    forward(5)
    for _ in range(options.turns):
        with one_thread():
            timed("one thread", lambda: forward(count * part))
        timed(f"{count} in each operator", lambda: forward(count * part))
        timed(f"{count} side by side", lambda: side_by_side(forward, [part] * count, count, Event()))


if __name__ == "__main__":
    main()
