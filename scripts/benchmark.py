"""How fast the scoring is: against the usual way, himalaya, and the bare matrix products; memory as M grows.

    python scripts/benchmark.py                      # the table, about three minutes on two cores
    python scripts/benchmark.py --json scores.json   # and as JSON
    python scripts/benchmark.py --widths 64 128 --stimuli 1000

All ratios are taken within one run, with the same threads on both sides. A GPU is used where there is one; the usual
way stays on the CPU. Peers that are not installed (scikit-learn, himalaya) are left out, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

if importlib.util.find_spec("convergence") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a bare machine: run from the checkout

from convergence import align
from convergence.alignment import resolve_device
from convergence.folds import assign
from convergence.metrics.linear import PENALTIES

Layers = dict[str, np.ndarray]


def responses(stimuli: int, widths: list[int], seed: int) -> Layers:
    """Layers that share 50 latent dimensions, as two trained networks share what the stimuli vary in."""
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(0).normal(size=(stimuli, 50))
    return {
        f"layer{i}": (np.tanh(shared @ rng.normal(size=(50, n)) / 5) + rng.normal(size=(stimuli, n)) / 2).astype("f4")
        for i, n in enumerate(widths)
    }


def seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """The least wall time of ``repeats``, after none for warming up."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def usual_way(x: Layers, y: Layers, folds: int, select_penalty: bool) -> dict[str, float]:
    """Seconds per metric, pair by pair and fold by fold on the activations, fits and predictions in both directions."""
    import ot
    from scipy.linalg import orthogonal_procrustes
    from scipy.optimize import linear_sum_assignment
    from sklearn.linear_model import Ridge, RidgeCV

    spent = {"linear": 0.0, "procrustes": 0.0, "matching": 0.0}
    fold = assign(len(next(iter(x.values()))), folds).numpy()
    for a32 in x.values():
        for b32 in y.values():
            for k in range(folds):
                a, b = a32[fold != k].astype(float), b32[fold != k].astype(float)
                a_test, b_test = a32[fold == k].astype(float), b32[fold == k].astype(float)
                start = time.perf_counter()
                for s, t, s_test, t_test in ((a, b, a_test, b_test), (b, a, b_test, a_test)):
                    ridge = RidgeCV(alphas=PENALTIES) if select_penalty else Ridge(alpha=1.0)
                    _correlate(ridge.fit(s, t).predict(s_test), t_test)
                spent["linear"] += time.perf_counter() - start

                start = time.perf_counter()
                a, b = a - (mean_a := a.mean(0)), b - (mean_b := b.mean(0))
                a_test, b_test = a_test - mean_a, b_test - mean_b
                n_x, n_y = a.shape[1], b.shape[1]
                width = max(n_x, n_y)
                rotation, _ = orthogonal_procrustes(
                    np.pad(a, ((0, 0), (0, width - n_x))), np.pad(b, ((0, 0), (0, width - n_y)))
                )
                rotation = rotation[:n_x, :n_y]
                _correlate(a_test @ rotation, b_test)
                _correlate(b_test @ rotation.T, a_test)
                spent["procrustes"] += time.perf_counter() - start

                start = time.perf_counter()
                r = (a / np.linalg.norm(a, axis=0)).T @ (b / np.linalg.norm(b, axis=0))
                if n_x == n_y:
                    plan = np.zeros_like(r)
                    plan[linear_sum_assignment(-r)] = 1 / n_x
                else:
                    plan = ot.emd(np.full(n_x, 1 / n_x), np.full(n_y, 1 / n_y), 1 - r)
                _correlate(a_test @ plan, b_test)
                _correlate(b_test @ plan.T, a_test)
                spent["matching"] += time.perf_counter() - start
    return spent


def _correlate(prediction: np.ndarray, target: np.ndarray) -> float:
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    return float(np.mean((p * t).sum(0) / np.sqrt((p * p).sum(0) * (t * t).sum(0))))


def himalaya_ridge(x: Layers, y: Layers, folds: int) -> float:
    """Seconds of himalaya's ``RidgeCV`` (torch backend, 5 inner folds) for all pairs and directions.

    Measured on the first fold and multiplied: a fold takes as long as another, and five take minutes.
    """
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV

    set_backend("torch")
    fold = assign(len(next(iter(x.values()))), folds).numpy()

    def work() -> None:
        for sources, targets in ((x, y), (y, x)):
            for a in sources.values():
                joined = np.concatenate(list(targets.values()), axis=1)  # one solve serves every target
                model = RidgeCV(alphas=PENALTIES, solver_params={"warn": False})
                model.fit(torch.from_numpy(a[fold != 0]), torch.from_numpy(joined[fold != 0]))
                model.predict(torch.from_numpy(a[fold == 0]))

    return seconds(work) * folds


def bare_products(x: Layers, y: Layers, device: torch.device) -> float:
    """Seconds of the matrix products that the moments need, in float64, and nothing else."""
    left = torch.cat([torch.from_numpy(a) for a in x.values()], 1).to(device, torch.float64)
    right = torch.cat([torch.from_numpy(b) for b in y.values()], 1).to(device, torch.float64)

    def work() -> None:
        torch.mm(left.T, right)
        for side, layers in ((left, x), (right, y)):
            start = 0
            for values in layers.values():
                part = side[:, start : (start := start + values.shape[1])]
                torch.mm(part.T, part)

    return seconds(work, repeats=5)


class Streamed:
    """Responses that are made as they are read: whatever the peak grows by with M is the scoring's own."""

    def __init__(self, stimuli: int, widths: list[int], seed: int) -> None:
        self.rows, self.seed = stimuli, seed
        self.layers = {f"layer{i}": n for i, n in enumerate(widths)}
        self.positions = dict.fromkeys(self.layers, 1)

    def read(self, names: Any, start: int, stop: int) -> dict[str, torch.Tensor]:
        made = torch.Generator().manual_seed(self.seed + start)
        return {n: torch.randn(min(stop, self.rows) - start, self.layers[n], generator=made) for n in names}


def peak_memory(stimuli: int, widths: list[int]) -> float:
    """MiB that scoring adds to the peak of a process of its own."""
    command = [sys.executable, __file__, "--peak", str(stimuli), "--widths", *map(str, widths)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure_peak(stimuli: int, widths: list[int]) -> None:
    from convergence.scoring import score

    def peak() -> float:
        # Not ru_maxrss: a child's starts at what its parent had.
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    x, y = Streamed(stimuli, widths, 1), Streamed(stimuli, widths, 2)
    torch.linalg.svd(torch.eye(64, dtype=torch.float64))  # what the libraries take is not the scoring's
    before = peak()
    score(x, y, [(a, b) for a in x.layers for b in y.layers], memory_gb=0.5)
    print(peak() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stimuli", type=int, default=5000)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        _measure_peak(options.peak, options.widths)
        return
    device = resolve_device(options.device)
    x = responses(options.stimuli, options.widths, 1)
    y = responses(options.stimuli, options.widths, 2)

    def ours(metrics: tuple[str, ...]) -> float:
        return seconds(lambda: align(x, y, metrics=metrics, folds=options.folds, device=str(device)), repeats=3)

    rows: list[tuple[str, float, str]] = []
    everything = ("linear", "procrustes", "permutation", "soft_matching")
    ours(("linear",))  # the first call pays for starting the libraries
    total = ours(everything)
    rows.append(("ours, all four metrics", total, "s"))
    for metric in ("linear", "procrustes", "soft_matching"):
        rows.append((f"ours, {metric} alone", ours((metric,)), "s"))
    if importlib.util.find_spec("sklearn"):
        from threadpoolctl import threadpool_limits

        with threadpool_limits(options.threads):
            usual = usual_way(x, y, options.folds, select_penalty=True)
            rows += [(f"usual way, {name}", value, "s") for name, value in usual.items()]
            rows.append(("usual way (RidgeCV chooses the penalty) / ours", sum(usual.values()) / total, "×"))
            given = usual_way(x, y, options.folds, select_penalty=False)["linear"]
            rows.append(("usual way, Ridge at a penalty given to it", given, "s"))
            fixed = sum(usual.values()) - usual["linear"] + given
            rows.append(("usual way (penalty given to it) / ours", fixed / total, "×"))
    else:
        print("scikit-learn is not installed: the usual way is left out.", file=sys.stderr)
    if importlib.util.find_spec("himalaya"):
        peer = himalaya_ridge(x, y, options.folds)
        rows += [("himalaya RidgeCV", peer, "s"), ("himalaya RidgeCV / ours, linear alone", peer / rows[1][1], "×")]
    else:
        print("himalaya is not installed: that peer is left out.", file=sys.stderr)
    bare = bare_products(x, y, device)
    rows += [("bare matrix products of the moments", bare, "s"), ("ours, all four / bare products", total / bare, "×")]
    if platform.system() == "Linux":
        for stimuli in (options.stimuli, 10 * options.stimuli):
            rows.append((f"peak memory at M = {stimuli:,}", peak_memory(stimuli, options.widths), "MiB"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"widths {options.widths} × the same, M = {options.stimuli:,}, {options.folds} folds, both directions,")
    print(f"{options.threads} threads, {device.type} ({name}), torch {torch.__version__}\n")
    for label, value, unit in rows:
        print(f"  {label:<52} {value:9.2f} {unit}")
    if options.json:
        setting = {key: value for key, value in vars(options).items() if key not in ("json", "peak")}
        setting |= {"device": f"{device.type} ({name})", "torch": torch.__version__}
        figures = [{"what": label, "value": value, "unit": unit} for label, value, unit in rows]
        options.json.write_text(json.dumps({"setting": setting, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
