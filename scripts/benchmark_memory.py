"""Peak memory of runs of eight shapes: what was given, what the plan said, and what the process held.

    python scripts/benchmark_memory.py                 # all, up to a minute each
    python scripts/benchmark_memory.py wide nulls      # some

Each run is a process of its own. The plan names what scoring will hold, and what the process will hold with the program
itself. `memory_gb` bounds what scoring holds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_RUN = [sys.executable, "-m", "convergence", "run", "figures=false", "progress=false"]
_NETWORKS = ["dataset=digits", "dataset.train_images=64", "model.training.epochs=0", "axis.untrained=false"]

# Name: (GiB given, stimuli and widths of the layers of either side, words) of recordings; no widths: of networks.
SHAPES: dict[str, tuple[float, int, tuple[Sequence[int], Sequence[int]] | None, list[str]]] = {
    "default": (0.25, 0, None, [*_NETWORKS, "model=tiny_resnet", "dataset.stimuli=500"]),
    "layers": (0.25, 1000, ([32, 64, 128, 256] * 6, [32, 64, 128, 256] * 6), []),
    "wide": (1.25, 2500, ([1536], [1536]), ["metric.names=[linear,procrustes]"]),
    "matching": (1.0, 1500, ([1500], [1000]), ["metric.names=[soft_matching]"]),
    "nulls": (0.25, 1000, ([256, 192], [256, 192]), ["null=both", "null.draws=40"]),
    "transfer": (
        0.25,
        0,
        None,
        [
            *_NETWORKS,
            "model=tiny_resnet",
            "axis=ood",
            "dataset.conditions=[contrast,uniform-noise]",
            "dataset.stimuli=200",
            "axis.protocols=[transfer]",
        ],
    ),
    "streaming": (0.25, 50_000, ([256, 128], [256, 128]), ["metric.names=[linear,procrustes]"]),
    "cut": (0.3, 500, ([2000], [1500]), []),
    "grams": (0.5, 200, ([20_000, 8_000], [20_000, 8_000]), ["metric.names=[linear,procrustes]"]),
}


def measured(name: str, place: Path) -> tuple[float, float, float, float]:
    """MiB given, what the plan said of scoring and of the process, and the peak of one run."""
    given, stimuli, widths, words = SHAPES[name]
    if widths is not None:
        words = [*words, "model=arrays", f"model.files=[{','.join(_recorded(stimuli, widths, place / name))}]"]
    command = [*_RUN, *words, f"memory_gb={given}", f"output={place / name}"]
    with open(place / f"{name}.log", "w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        log.seek(0)
        told = log.read()
    said = re.search(r"([\d,]+) MiB of memory \(([\d,]+) with the program\)", told)
    if status != 0 or said is None:
        raise SystemExit(f"{name}: {' '.join(command)} failed:\n{told}")
    scoring, whole = (float(number.replace(",", "")) for number in said.groups())
    return 1024 * given, scoring, whole, usage.ru_maxrss / 1024


def _recorded(stimuli: int, widths: tuple[Sequence[int], Sequence[int]], place: Path) -> list[str]:
    """Two folders of arrays with one part in common."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((stimuli, 16), dtype="f4")
    folders = []
    for end, side in zip("xy", widths, strict=True):
        folder = place / end
        folder.mkdir(parents=True)
        for i, width in enumerate(side):
            noise = rng.standard_normal((stimuli, width), dtype="f4")
            np.save(folder / f"area{i}.npy", noise + shared @ rng.standard_normal((16, width), dtype="f4"))
        folders.append(str(folder))
    return folders


def main(names: Sequence[str]) -> None:
    """Print the table, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print("| run | given | plan, scoring | plan, all | peak | beyond the program / given | plan / peak |")
        print("|---|---|---|---|---|---|---|")
        for name in names or SHAPES:
            given, scoring, whole, peak = measured(name, place)
            beyond = (peak - whole + scoring) / given
            numbers = " | ".join(f"{number:,.0f}" for number in (given, scoring, whole, peak))
            print(f"| {name} | {numbers} | {beyond:.2f} | {whole / peak:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
