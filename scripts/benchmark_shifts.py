"""How long the seventeen shifts take, each at one level, and what it saves that their pixels are kept.

    python scripts/benchmark_shifts.py                        # 1,000 images of 32 × 32, 50 of 224 × 224
    python scripts/benchmark_shifts.py --sizes 32 --images 1000

Images are those of dataset=shapes, and the five shifts that it would draw itself are taken as for photographs. The
level is the severest that the benchmark averages over. CPU seconds are those of all threads together.
"""

from __future__ import annotations

import argparse
import time

import torch

from convergence.stimuli.base import ArrayStimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.stimuli.shifts import SHIFTS, shifted
from convergence.system.device import resolve_device
from convergence.system.memory import keep_memory

_IMAGES = {32: 1000, 224: 50}


def images_of(size: int, count: int) -> ArrayStimuli:
    """Drawn in advance, as an array."""
    drawn = load(ShapesConfig(size=size, stimuli=count), "test")
    pixels = drawn.pixels(range(count))
    return ArrayStimuli("x", drawn.classes, drawn.ids, drawn.labels, drawn.fingerprint, array=pixels)


def main() -> None:
    keep_memory()  # as a run does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(_IMAGES), help="pixels along a side")
    parser.add_argument("--images", type=int, help="how many (default 1,000 of 32 × 32, 50 of others)")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = resolve_device(chosen.device)
    for size in chosen.sizes:
        count = chosen.images or _IMAGES.get(size, 50)
        base = images_of(size, count)
        print(f"{count:,} images of {size} × {size}, {device.type}, {torch.get_num_threads()} threads")
        print(f"{'shift':<20} {'level':<10} {'seconds':>8} {'CPU s':>8} {'again':>8}")
        totals = [0.0, 0.0, 0.0]
        for shift in SHIFTS.values():
            images = shifted(base, shift.name, shift.averaged[-1], device=device)
            wall, cpu = time.perf_counter(), time.process_time()
            images.pixels(range(count))
            times = [time.perf_counter() - wall, time.process_time() - cpu]
            wall = time.perf_counter()
            images.pixels(range(count))
            times.append(time.perf_counter() - wall)
            totals = [total + seconds for total, seconds in zip(totals, times, strict=True)]
            print(f"{shift.name:<20} {shift.averaged[-1]:<10} " + " ".join(f"{seconds:>8.3f}" for seconds in times))
        print(f"{'all':<31} " + " ".join(f"{seconds:>8.3f}" for seconds in totals), end="\n\n")


if __name__ == "__main__":
    main()
