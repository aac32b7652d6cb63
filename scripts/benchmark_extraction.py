"""How fast activations are extracted, as a share of the speed of a bare forward pass.

    python scripts/benchmark_extraction.py

The bare pass is the same model, batch size and threads, on input that was prepared in advance; extraction includes
preparing the input, the hooks, the checks, and writing to the cache. Both take turns; the median of the ratios counts.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from convergence.activations import extract
from convergence.alignment import resolve_device
from convergence.config import Library, LibraryConfig, RecipeConfig, SeedsConfig, ShapesConfig, TrainingConfig
from convergence.models import library, trajectories
from convergence.models.network import Network
from convergence.stimuli import load
from convergence.stimuli.base import Stimuli


def ratios(network: Network, stimuli: Stimuli, batch: int, device: torch.device, repeats: int) -> list[float]:
    """Speed of extraction / speed of the bare pass, one for each repeat."""
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
        folder = Path(tempfile.mkdtemp())
        extract(network, stimuli, cache=folder, device=device, batch_size=batch, workers=0)
        shutil.rmtree(folder)

    found = []
    for _ in range(repeats + 1):
        found.append(_seconds(bare) / _seconds(ours))
    return found[1:]  # the first turn pays for starting the libraries


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    small, large = ShapesConfig(stimuli=2000), ShapesConfig(size=64, stimuli=512)
    recipe = RecipeConfig(
        name="tiny_resnet", seeds=SeedsConfig(init=[0]), training=TrainingConfig(epochs=0, early_checkpoints=0)
    )
    resnet = LibraryConfig(name="resnet18", library=Library.torchvision, seeds=SeedsConfig(init=[0]), image_size=64)
    with tempfile.TemporaryDirectory() as folder:
        tiny = trajectories(recipe, small, folder=Path(folder), device=device)[0][-1]
        cases = [
            ("tiny_resnet, 32 × 32, batch 256", tiny, load(small, "test"), 256),
            ("resnet18, 64 × 64, batch 64", library.trajectories(resnet)[0][-1], load(large, "test"), 64),
        ]
        print("speed of extraction / bare forward pass (median of the turns, least and greatest)")
        for name, network, stimuli, batch in cases:
            turns = ratios(network, stimuli, batch, device, options.repeats)
            print(f"  {name:<34} {statistics.median(turns):.2f}  ({min(turns):.2f} … {max(turns):.2f})")


if __name__ == "__main__":
    main()
