"""What the plan says a run takes, and what it then took: time, disk, memory, for eight kinds of run.

    python scripts/benchmark_estimate.py                      # small sizes, some minutes on one core
    python scripts/benchmark_estimate.py --only default ood --data FOLDER

Each run is a process of its own with a cache of its own. Networks are trained before the clock starts, and no figures
are drawn: the plan counts neither. Time is that of the run without its imports, and judging what the plan itself took
of it; disk is what its cache holds of responses and pixels; memory is the whole process's, with the program.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from convergence.axes.comparison import Comparison
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.estimate import estimate
from convergence.system.device import resolve_device
from convergence.system.memory import keep_memory

_RECIPE = ["model.training.epochs=1", "model.training.early_checkpoints=2", "dataset.train_images=512"]
_PHOTOGRAPHS = ["dataset=image_folder", "dataset.root={folder}/images", "dataset.stimuli=64"]
_RESNET = ["model=timm", "model.name=resnet50", "model.seeds.init=[0,1]"]
_PAIR = ["model=timm", "model.name=tf_efficientnet_lite0", "model@against=timm", "against.name=tf_efficientnet_lite1"]
_UNTRAINED = ["model.seeds.init=[0]", "against.seeds.init=[1]"]
RUNS = {
    "default": _RECIPE,
    "training": ["axis=training", *_RECIPE],
    "ood": ["axis=ood", *_RECIPE, "dataset.stimuli=300"],
    "null": ["null=both", "null.draws=20", *_RECIPE],
    "resnet50": [*_RESNET, *_PHOTOGRAPHS, "axis.pairs=matched", "metric=procrustes"],
    "efficientnets": [*_PAIR, *_UNTRAINED, *_PHOTOGRAPHS, "metric=procrustes"],
    "samples": ["model.units=samples", *_RECIPE, "dataset.stimuli=300"],
    "arrays": ["model=arrays", "model.files=[{folder}/a.npz,{folder}/b.npz]"],
}


def draw(folder: Path) -> None:
    """Photograph-like files, and recorded responses."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(64):
        coarse = Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
        coarse.resize((500, 400), Image.Resampling.BICUBIC).save(folder / "images" / f"{i:03d}.jpg", quality=90)
    for name in "ab":
        np.savez(folder / f"{name}.npz", **{f"layer{i}": rng.normal(size=(2000, 64 * 2**i)) for i in range(4)})


def measure(words: list[str]) -> dict[str, tuple[float, float]]:
    """What is said and what is true, of one run, in this process."""
    keep_memory()
    cfg = compose(words)
    device = resolve_device(cfg.device)
    comparisons: list[Comparison] = experiment.PLANS[cfg.axis.name](
        cfg, folder=Path(cfg.cache) / "networks", device=device
    )
    said = estimate(cfg, comparisons, device)
    started = time.perf_counter()
    estimate(cfg, comparisons, device)  # as the run will once more, now that all is imported
    judging = time.perf_counter() - started
    started = time.perf_counter()
    experiment.run(cfg)
    taken = time.perf_counter() - started - judging
    kept = [p for kind in ("activations", "pixels") for p in (Path(cfg.cache) / kind).rglob("*") if p.is_file()]
    return {
        "time": (said.seconds, taken),
        "judging": (judging, taken),
        "disk": (said.cache_bytes, sum(p.stat().st_size for p in kept)),
        "memory": (said.process_bytes, _peak()),
    }


def _peak() -> float:
    # Not ru_maxrss: a child's starts at what its parent had.
    return 1024 * float(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, for a machine that others use too")
    parser.add_argument("--words", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.cpu:
        time.perf_counter = time.process_time
    if options.words:
        print(json.dumps(measure(options.words)))
        return
    print("said / taken      time, s              judging / taken, s     disk, MiB            memory, MiB")
    for name in options.only:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            draw(folder)
            words = [word.format(folder=folder) for word in RUNS[name]]
            words += [
                f"output={folder}/outputs",
                f"cache={folder}/cache",
                "figures=false",
                "progress=false",
                "device=cpu",
            ]
            command = [
                sys.executable,
                __file__,
                "--threads",
                str(options.threads),
                *["--cpu"] * options.cpu,
                "--words",
                *words,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name:<14}failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            cells = []
            for what, (said, taken) in found.items():
                unit = 1 if what in ("time", "judging") else 2**20
                ratio = f"{said / taken:.2f}" if taken else "–"
                cells.append(f"{said / unit:7.1f} / {taken / unit:<7.1f}{ratio:>5}")
            print(f"{name:<14}" + " ".join(cells), flush=True)


if __name__ == "__main__":
    main()
