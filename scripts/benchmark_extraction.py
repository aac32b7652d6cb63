"""Images a second of an extraction, end to end from files, and of the fastest plain forward pass on this machine.

    python scripts/benchmark_extraction.py --images 64 --turns 3

"Plain" is PyTorch alone, on images that are prepared already: batches of 8, 16, 64 and 256, contiguous and channels
last, memory given back to the kernel and kept. The best of these medians counts. "From files" is the whole of an
extraction with its options as they are by default: reading and decoding JPEG files, building the network, the pass with
its hooks, the checks, the cache; "decoded" is the same where another network has read the files before. Memory is kept
or not for a whole process, so every turn is three processes: plain, plain with memory kept, ours. Building and writing
cost the same for any number of images: few images make the ratio worse. No program that reads files is as fast as the
forward pass alone: "at most" is the ratio of one that only decodes them, on all cores, and passes them on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.experiment.compose import compose
from convergence.models import library
from convergence.models.load import trajectories
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig, SeedsConfig
from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.system.device import resolve_device
from convergence.system.memory import keep_memory

SIZES = {"tf_efficientnet_lite0": 224, "resnet18": 224, "vit_small_patch16_224": 224, "tiny_resnet": 32}
BATCHES = (8, 16, 64, 256)
_DECODING = "decoding alone"
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def network_and_stimuli(name: str, folder: Path) -> tuple[Network, Stimuli]:
    """An untrained network, and the images of the folder."""
    dataset = ["dataset=image_folder", f"dataset.root={folder / 'images'}"]
    if name in ("tiny_resnet",):
        training = ["model.training.epochs=0", "model.training.early_checkpoints=0", "model.seeds.init=[0]"]
        made = compose([f"model={name}", "dataset=shapes", "dataset.train_images=64", *training])
        network = trajectories(made.model, made.dataset, folder=folder / "networks", device=torch.device("cpu"))[0][-1]
    else:
        kind = Library.torchvision if name == "resnet18" else Library.timm
        network = library.untrained(LibraryConfig(name=name, library=kind, seeds=SeedsConfig([0])))[0]
    return network, load(compose(dataset).dataset, "all")


def plain(network: Network, stimuli: Stimuli, device: torch.device) -> dict[str, float]:
    """Images a second of forward passes alone, by batch and layout."""
    images = network.preprocess(stimuli, range(len(stimuli))).to(device)
    found = {}
    for batch, (layout, format_) in product(BATCHES, LAYOUTS.items()):
        if batch > 2 * len(images):
            continue
        model = network.build().to(device, memory_format=format_)  # type: ignore[call-overload]
        parts = [part.contiguous(memory_format=format_) for part in images.split(batch)]

        def work(model: Any = model, parts: Any = parts) -> None:
            with torch.inference_mode():
                for part in parts:
                    model(part)
            if device.type == "cuda":
                torch.cuda.synchronize()

        with torch.inference_mode():
            model(parts[0])
        found[f"{batch}, {layout}"] = len(images) / _seconds(work)
    return found


def ours(network: Network, stimuli: Stimuli, device: torch.device) -> dict[str, float]:
    """Images a second of extractions."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        loader = Loader(network.preprocess, stimuli, Path(place), "auto", None, device)
        work = partial(extract, network, loader)
        work()
        shutil.rmtree(place)
        found["from files"] = len(stimuli) / _seconds(work)
        shutil.rmtree(Path(place) / "activations")
        found["decoded"] = len(stimuli) / _seconds(work)
        found[_DECODING] = len(stimuli) / _seconds(lambda: network.preprocess.pixels(stimuli, range(len(stimuli))))
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _child(name: str, what: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--part", f"{what}:{name}:{folder}"]
    command += ["--threads", str(options.threads), "--device", options.device]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _part(text: str, device: torch.device) -> dict[str, float]:
    what, name, folder = text.split(":", 2)
    if what != "freed":
        keep_memory()
    network, stimuli = network_and_stimuli(name, Path(folder))
    return (ours if what == "ours" else plain)(network, stimuli, device)


def _draw(folder: Path, count: int, size: int) -> None:
    """Photograph-like files, larger than the network's input."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    side = size if size < 64 else size * 3 // 2
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i:05d}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--images", type=int, default=256, help="of 224 pixels; ten times as many of 32")
    parser.add_argument("--networks", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.part:
        print(json.dumps(_part(options.part, resolve_device(options.device))))
        return
    load_before = os.getloadavg()[0]
    print(f"images a second, {options.threads} threads, load {load_before:.1f}: medians of {options.turns} turns")
    for name in options.networks:
        with tempfile.TemporaryDirectory() as place:
            folder, size = Path(place), SIZES[name]
            _draw(folder / "images", options.images * (10 if size < 64 else 1), size)
            turns: dict[str, list[float]] = {}
            for _ in range(options.turns):
                for what in ("freed", "kept", "ours"):
                    for label, speed in _child(name, what, folder, options).items():
                        key = label if what == "ours" else f"{label}, memory {what}"
                        turns.setdefault(key, []).append(speed)
        speeds = {label: statistics.median(values) for label, values in turns.items()}
        mine = {label: speeds.pop(label) for label in ("from files", "decoded", _DECODING)}
        decoding = mine.pop(_DECODING)
        best = max(speeds, key=lambda label: speeds[label])
        most = decoding / (decoding + speeds[best])
        print(f"{name}\n  best plain   {speeds[best]:8.1f}  ({best}); from files at most {most:.2f} of it")
        for label, speed in mine.items():
            print(f"  {label:<12} {speed:8.1f}  {speed / speeds[best]:.2f} of it", flush=True)


if __name__ == "__main__":
    main()
