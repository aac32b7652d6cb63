"""How fast the scoring is: against the usual way, himalaya, and the bare matrix products; memory as M grows.

    python scripts/benchmark.py                      # the table, some minutes on two cores
    python scripts/benchmark.py --json scores.json   # and as JSON
    python scripts/benchmark.py --widths 64 128 --stimuli 1000

The usual way fits each pair of layers and each fold anew on the activations: scikit-learn, scipy and POT. It is timed
twice for the linear metric: with RidgeCV, which chooses the penalty as ours does, and with Ridge at the penalty that
ours has chosen, so that it gets for free what ours pays for.

All take turns, one for each fold: a fold of the usual way (times the folds), then ours whole, with the same threads.
Every figure is the median over the turns, and every ratio the median of the turns' ratios. CPU seconds are those of all
threads together. Other programs on the machine slow the usual way most, since the threads of its matrix products wait
for each other busily: believe a ratio from a quiet machine (the load is printed), or one with --threads 1.

A GPU is used where there is one; the usual way stays on the CPU. Peers that are not installed (scikit-learn, himalaya)
are left out, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

if importlib.util.find_spec("convergence") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a bare machine: run from the checkout

from convergence import align
from convergence.alignment.folds import assign
from convergence.alignment.metrics.linear import PENALTIES
from convergence.system.device import resolve_device

Layers = dict[str, np.ndarray]
METRICS = ("linear", "procrustes", "permutation", "soft_matching")


class Seconds(NamedTuple):
    """Of the wall clock, and of the CPU in all threads."""

    wall: float
    cpu: float

    def __add__(self, other: Any) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __mul__(self, times: Any) -> Seconds:
        return Seconds(self.wall * times, self.cpu * times)


def responses(stimuli: int, widths: list[int], seed: int) -> Layers:
    """Layers that share 50 latent dimensions, as two trained networks share what the stimuli vary in."""
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(0).normal(size=(stimuli, 50))
    return {
        f"layer{i}": (np.tanh(shared @ rng.normal(size=(50, n)) / 5) + rng.normal(size=(stimuli, n)) / 2).astype("f4")
        for i, n in enumerate(widths)
    }


def seconds(work: Callable[..., Any], *arguments: Any) -> Seconds:
    """How long ``work`` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def usual_way(x: Layers, y: Layers, folds: int, k: int, penalties: pd.Series) -> dict[str, Seconds]:
    """Seconds of all folds, by fold ``k``: pair by pair on the activations, fits and predictions in both directions.

    ``penalties`` are by layer of x, layer of y, direction and fold.
    """
    spent: dict[str, Seconds] = {}

    def timed(what: str, work: Callable[..., None], *arguments: Any) -> None:
        spent[what] = seconds(work, *arguments) * folds + spent.get(what, Seconds(0, 0))

    fold = assign(len(next(iter(x.values()))), folds).numpy()
    for name_a, a32 in x.items():
        for name_b, b32 in y.items():
            a, b = a32[fold != k].astype(float), b32[fold != k].astype(float)
            a_test, b_test = a32[fold == k].astype(float), b32[fold == k].astype(float)
            given = [penalties[name_a, name_b, direction, k] for direction in ("x->y", "y->x")]
            timed("linear, RidgeCV", usual_linear, a, b, a_test, b_test, None)
            timed("linear, Ridge at a given penalty", usual_linear, a, b, a_test, b_test, given)
            a, b, a_test, b_test = a - a.mean(0), b - b.mean(0), a_test - a.mean(0), b_test - b.mean(0)
            timed("procrustes", usual_procrustes, a, b, a_test, b_test)
            timed("soft_matching", usual_matching, a, b, a_test, b_test)
    return spent


def usual_linear(
    a: np.ndarray, b: np.ndarray, a_test: np.ndarray, b_test: np.ndarray, penalties: list[float] | None
) -> None:
    """scikit-learn: the penalty chosen by its generalised cross-validation, or given for either direction."""
    from sklearn.linear_model import Ridge, RidgeCV

    for i, (s, t, s_test, t_test) in enumerate(((a, b, a_test, b_test), (b, a, b_test, a_test))):
        ridge = RidgeCV(alphas=PENALTIES) if penalties is None else Ridge(alpha=penalties[i])
        _correlate(ridge.fit(s, t).predict(s_test), t_test)


def usual_procrustes(a: np.ndarray, b: np.ndarray, a_test: np.ndarray, b_test: np.ndarray) -> None:
    """scipy, on zero-padded matrices."""
    from scipy.linalg import orthogonal_procrustes

    n_x, n_y = a.shape[1], b.shape[1]
    width = max(n_x, n_y)
    rotation, _ = orthogonal_procrustes(np.pad(a, ((0, 0), (0, width - n_x))), np.pad(b, ((0, 0), (0, width - n_y))))
    rotation = rotation[:n_x, :n_y]
    _correlate(a_test @ rotation, b_test)
    _correlate(b_test @ rotation.T, a_test)


def usual_matching(a: np.ndarray, b: np.ndarray, a_test: np.ndarray, b_test: np.ndarray) -> None:
    """scipy's assignment at equal widths, which serves `permutation` too; POT's transport at unequal ones."""
    import ot
    from scipy.optimize import linear_sum_assignment

    n_x, n_y = a.shape[1], b.shape[1]
    r = (a / np.linalg.norm(a, axis=0)).T @ (b / np.linalg.norm(b, axis=0))
    if n_x == n_y:
        plan = np.zeros_like(r)
        plan[linear_sum_assignment(-r)] = 1 / n_x
    else:
        plan = ot.emd(np.full(n_x, 1 / n_x), np.full(n_y, 1 / n_y), 1 - r)
    _correlate(a_test @ plan, b_test)
    _correlate(b_test @ plan.T, a_test)


def _correlate(prediction: np.ndarray, target: np.ndarray) -> float:
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    return float(np.mean((p * t).sum(0) / np.sqrt((p * p).sum(0) * (t * t).sum(0))))


def himalaya_ridge(x: Layers, y: Layers, folds: int) -> Seconds:
    """himalaya's ``RidgeCV`` (torch backend, 5 inner folds) for all pairs and directions.

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


def bare_products(x: Layers, y: Layers, device: torch.device) -> Seconds:
    """The matrix products that the moments need, in float64, and nothing else."""
    left = torch.cat([torch.from_numpy(a) for a in x.values()], 1).to(device, torch.float64)
    right = torch.cat([torch.from_numpy(b) for b in y.values()], 1).to(device, torch.float64)

    def work() -> None:
        torch.mm(left.T, right)
        for side, layers in ((left, x), (right, y)):
            start = 0
            for values in layers.values():
                part = side[:, start : (start := start + values.shape[1])]
                torch.mm(part.T, part)

    return seconds(work)


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
    from convergence.alignment.score import score

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
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    device = resolve_device(options.device)
    x = responses(options.stimuli, options.widths, 1)
    y = responses(options.stimuli, options.widths, 2)
    turns = take_turns(x, y, options.folds, device, options.threads)
    rows = compare(turns)
    if platform.system() == "Linux":
        for stimuli in (options.stimuli, 10 * options.stimuli):
            rows.append((f"peak memory at M = {stimuli:,}", peak_memory(stimuli, options.widths), None, "MiB"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"widths {options.widths} × the same, M = {options.stimuli:,}, {options.folds} folds, both directions,")
    print(
        f"{options.threads} threads, {device.type} ({name}), torch {torch.__version__}, load {load:.1f} at the start\n"
    )
    print(f"  {'':<52} {'wall':>8} {'CPU':>8}")
    for label, wall, cpu, unit in rows:
        print(f"  {label:<52} {wall:8.2f} {'' if cpu is None else f'{cpu:.2f}':>8} {unit}")
    if options.json:
        setting = {key: value for key, value in vars(options).items() if key not in ("json", "peak")}
        setting |= {"device": f"{device.type} ({name})", "torch": torch.__version__, "load": load}
        figures = [{"what": label, "wall": wall, "cpu": cpu, "unit": unit} for label, wall, cpu, unit in rows]
        options.json.write_text(json.dumps({"setting": setting, "figures": figures}, indent=1) + "\n")


def take_turns(x: Layers, y: Layers, folds: int, device: torch.device, threads: int) -> list[dict[str, Seconds]]:
    """A turn for each fold: what was timed, and how long it took."""

    def ours(metrics: tuple[str, ...]) -> pd.DataFrame:
        return align(x, y, metrics=metrics, folds=folds, device=str(device))

    table = ours(METRICS)  # the first call pays for starting the libraries
    keys = ["layer_x", "layer_y", "direction", "fold"]
    penalties = table[table.metric == "linear"].set_index(keys).penalty
    missing = [name for name in ("sklearn", "himalaya") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{' and '.join(missing)} not installed: left out.", file=sys.stderr)
    turns: list[dict[str, Seconds]] = []
    for k in range(folds):
        turn: dict[str, Seconds] = {}
        if "sklearn" not in missing:
            from threadpoolctl import threadpool_limits

            with threadpool_limits(threads):
                turn |= {f"usual way: {what}": s for what, s in usual_way(x, y, folds, k, penalties).items()}
        turn["ours, all four metrics"] = seconds(ours, METRICS)
        for metric in ("linear", "procrustes", "soft_matching"):
            turn[f"ours, {metric} alone"] = seconds(ours, (metric,))
        if "himalaya" not in missing and k == 0:
            turn["himalaya RidgeCV (one turn)"] = himalaya_ridge(x, y, folds)
        turn["bare matrix products of the moments"] = bare_products(x, y, device)
        turns.append(turn)
    return turns


Row = tuple[str, float, float | None, str]


def compare(turns: list[dict[str, Seconds]]) -> list[Row]:
    """What each took, and the ratios: medians over the turns."""
    rows: list[Row] = []
    for what in turns[0]:
        spent = [turn[what] for turn in turns if what in turn]
        rows.append((what, statistics.median(s.wall for s in spent), statistics.median(s.cpu for s in spent), "s"))
    rest = ["usual way: procrustes", "usual way: soft_matching"]
    ratios = {
        "usual way with RidgeCV / ours": (["usual way: linear, RidgeCV", *rest], "ours, all four metrics"),
        "usual way, penalty given for free / ours": (
            ["usual way: linear, Ridge at a given penalty", *rest],
            "ours, all four metrics",
        ),
        "himalaya RidgeCV / ours, linear alone": (["himalaya RidgeCV (one turn)"], "ours, linear alone"),
        "ours, all four metrics / bare products": (["ours, all four metrics"], "bare matrix products of the moments"),
    }
    for label, (parts, whole) in ratios.items():
        complete = [turn for turn in turns if turn.keys() >= set(parts)]
        if complete:
            wall = [sum(turn[p].wall for p in parts) / turn[whole].wall for turn in complete]
            cpu = [sum(turn[p].cpu for p in parts) / turn[whole].cpu for turn in complete]
            rows.append((label, statistics.median(wall), statistics.median(cpu), "×"))
    return rows


if __name__ == "__main__":
    main()
