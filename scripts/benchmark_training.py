"""Steps a second of training a recipe, and of the fastest plain loop on this machine.

    python scripts/benchmark_training.py --epochs 2 --turns 3

"Plain" is PyTorch alone: the images in one tensor, the same shift, loss, batch and optimiser as ours, and nothing else:
no checkpoints, no look at the loss. Contiguous and channels last, the optimiser as it is by default and fused; the best
of these medians counts. "Ours" is a training run as ``convergence run`` makes it, checkpoints written and read back.
Ours and the plain loops take turns in processes of their own, all of which keep their memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F

from convergence.models import recipes
from convergence.models.augmentation import AUGMENTS
from convergence.models.options import Augmentation, TrainingConfig
from convergence.models.preprocess import PixelPreprocess
from convergence.models.training import Images, TrainingRun, train
from convergence.system.device import resolve_device
from convergence.system.memory import keep_memory

NETWORKS = ("tiny_resnet", "tiny_vgg", "tiny_vit")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
_CLASSES, _SIDE, _WARM = 16, 32, 2


def images(count: int) -> Images:
    """Noise: what the images show does not change the time."""
    pixels = torch.randint(0, 256, (count, 3, _SIDE, _SIDE), generator=torch.Generator().manual_seed(0))
    return Images(pixels.byte(), torch.arange(count) % _CLASSES, PixelPreprocess(None).normalise)


def plain(name: str, training: Images, config: TrainingConfig, device: torch.device) -> dict[str, float]:
    """Steps a second of bare loops, by layout and optimiser."""
    found = {}
    for (layout, format_), fused in product(LAYOUTS.items(), (None, True)):
        model = recipes.build(name, _CLASSES, 0).to(device, memory_format=format_)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(
            model.parameters(), config.learning_rate, config.momentum, nesterov=True, weight_decay=5e-4, fused=fused
        )
        pixels, labels = training.pixels.to(device), training.labels.to(device)
        steps = len(pixels) // config.batch_size
        for step in range(_WARM + steps):
            if step == _WARM:
                start = time.perf_counter()
            at = step % steps
            part = slice(at * config.batch_size, (at + 1) * config.batch_size)
            shifted = AUGMENTS[Augmentation.shift](pixels[part], 0, step)
            loss = F.cross_entropy(model(training.normalise(shifted).contiguous(memory_format=format_)), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found[f"{layout}, {'fused' if fused else 'default'} optimiser"] = steps / (time.perf_counter() - start)
    return found


def ours(name: str, training: Images, config: TrainingConfig, device: torch.device) -> dict[str, float]:
    """Steps a second of a whole training run."""
    count = len(training.pixels)
    build = partial(recipes.build, name, _CLASSES, 0)
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        run = TrainingRun(name, build, lambda: training, count, config, 0)
        checkpoints = train(run, Path(place) / "run", device)
        return {"ours": checkpoints[-1].step / (time.perf_counter() - start)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--plain-images", type=int, default=2560, help="for each of the plain loops")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(recipes.RECIPES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    if options.part:
        what, name = options.part.split(":")
        work, count = (ours, options.images) if what == "ours" else (plain, options.plain_images)
        config = TrainingConfig(epochs=options.epochs)
        print(json.dumps(work(name, images(count), config, resolve_device(options.device))))
        return
    print(
        f"steps a second, {options.threads} threads, load {os.getloadavg()[0]:.1f}: medians of {options.turns} turns",
        flush=True,
    )
    for name in options.networks:
        turns: dict[str, list[float]] = {}
        for _ in range(options.turns):
            for what in ("plain", "ours"):
                command = [sys.executable, __file__, *sys.argv[1:], "--part", f"{what}:{name}"]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                for label, speed in json.loads(done.stdout.splitlines()[-1]).items():
                    turns.setdefault(label, []).append(speed)
        speeds = {label: statistics.median(values) for label, values in turns.items()}
        mine = speeds.pop("ours")
        best = max(speeds, key=lambda label: speeds[label])
        print(f"{name}\n  best plain   {speeds[best]:8.2f}  ({best})")
        print(f"  ours         {mine:8.2f}  {mine / speeds[best]:.2f} of it", flush=True)


if __name__ == "__main__":
    main()
