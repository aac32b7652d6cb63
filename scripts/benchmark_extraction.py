"""How fast activations are extracted, as a share of the speed of a bare forward pass.

    python scripts/benchmark_extraction.py

The bare pass is the same model, batch size and threads, on input that was prepared in advance; extraction includes
building the network, preparing the input, the hooks, the checks, and writing to the cache and reading it back. In each
turn a bare pass stands before and after an extraction, so that a busy machine slows both; the median of the turns'
ratios counts. Building and writing cost the same for any number of stimuli: few stimuli make the ratio worse.
The last column is the same ratio in CPU seconds, which leave out the wait for the disk and for other programs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from convergence.activations.extract import extract
from convergence.models import library
from convergence.models.load import trajectories
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig, RecipeConfig, SeedsConfig, TrainingConfig
from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system.device import resolve_device


def ratios(network: Network, stimuli: Stimuli, batch: int, device: torch.device, repeats: int) -> list[list[float]]:
    """Speed of extraction / speed of the bare pass, by the wall clock and by CPU seconds, for each turn."""
    parts = [range(i, min(i + batch, len(stimuli))) for i in range(0, len(stimuli), batch)]
    images = [network.preprocess(stimuli, part).to(device) for part in parts]
    model = network.build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def bare() -> None:
        with torch.inference_mode():
            for part in images:
                model(part.contiguous(memory_format=torch.channels_last))
        if device.type == "cuda":
            torch.cuda.synchronize()

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract(network, stimuli, cache=Path(folder), device=device, batch_size=batch, workers=0)

    found = []
    for _ in range(repeats + 1):
        before, extracting, after = _seconds(bare), _seconds(ours), _seconds(bare)
        found.append([(b + a) / 2 / e for b, e, a in zip(before, extracting, after, strict=True)])
    return found[1:]  # the first turn pays for starting the libraries


def _seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Of the wall clock, and of the CPU in all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    small, many, large = ShapesConfig(), ShapesConfig(stimuli=6000), ShapesConfig(size=64)
    recipe = RecipeConfig(
        name="tiny_resnet", seeds=SeedsConfig(init=[0]), training=TrainingConfig(epochs=0, early_checkpoints=0)
    )
    resnet = LibraryConfig(name="resnet18", library=Library.torchvision, seeds=SeedsConfig(init=[0]), image_size=64)
    with tempfile.TemporaryDirectory() as folder:
        tiny = trajectories(recipe, small, folder=Path(folder), device=device)[0][-1]
        cases = [
            ("tiny_resnet, 32 × 32, 2,000 stimuli, batch 256", tiny, load(small, "test"), 256),
            ("tiny_resnet, 32 × 32, 6,000 stimuli, batch 256", tiny, load(many, "test"), 256),
            (
                "resnet18, 64 × 64, 2,000 stimuli, batch 64",
                library.trajectories(resnet)[0][-1],
                load(large, "test"),
                64,
            ),
        ]
        print("speed of extraction / bare forward pass (median of the turns, least and greatest; by CPU seconds)")
        for name, network, stimuli, batch in cases:
            wall, cpu = zip(*ratios(network, stimuli, batch, device, options.repeats), strict=True)
            spread = f"({min(wall):.2f} … {max(wall):.2f})"
            print(f"  {name:<48} {statistics.median(wall):.2f}  {spread}  {statistics.median(cpu):.2f}", flush=True)


if __name__ == "__main__":
    main()
