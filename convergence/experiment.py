"""One experiment: plan → representations → moments → scores → table → figures."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import logging
import platform
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from convergence import folds, results, stimuli
from convergence.activations import extract
from convergence.alignment import resolve_device
from convergence.axes import Comparison, depth, labels, training
from convergence.cache import Cached, Joined
from convergence.config import Config, LibraryConfig, check
from convergence.files import only_one
from convergence.models import patterns
from convergence.models.network import Network
from convergence.progress import progress
from convergence.scoring import METRICS, score
from convergence.stimuli.base import Stimuli

_log = logging.getLogger("convergence")
# Options that change no number: they stay out of the hash that names the run.
_RUNTIME = ("output", "cache", "device", "batch_size", "workers", "memory_gb", "force", "figures", "progress", "debug")
_PLANS = {"depth": depth.plan, "training": training.plan}


def run(config: Config | DictConfig) -> pd.DataFrame:
    """Run a composed config and return its rows, those of ``results.parquet``.

    The run has a folder of its own, named by what makes it different. What is there is not computed again.

    Raises
    ------
    UserError
        For anything that a user can cause, in one sentence.
    """
    cfg: Config = OmegaConf.to_object(config) if isinstance(config, DictConfig) else config  # type: ignore[assignment]
    check(cfg)
    folder = run_folder(cfg)
    with only_one(folder / "lock", f"another run works in {folder}: waiting for it."):
        if cfg.force:
            shutil.rmtree(folder / "shards", ignore_errors=True)
            (folder / "manifest.json").unlink(missing_ok=True)
        if (folder / "manifest.json").exists():
            table = _finished(folder)
            if table is not None:
                _log.info("nothing to do: %s has all results (force=true starts over).", folder)
                return table
        table = _compute(cfg, folder)
    return table


def run_folder(cfg: Config) -> Path:
    """``output/<axis>/<short name>-<hash of what makes the run different>``."""
    names = [cfg.model.name, *([cfg.against.name] if cfg.against else []), cfg.dataset.name]
    metrics = [m.value for m in cfg.metric.names]
    names.append("all" if len(metrics) == len(METRICS) else "+".join(metrics))
    short = "-".join(names).replace("/", "_")
    return Path(cfg.output) / cfg.axis.name / f"{short}-{run_hash(cfg)}"


def run_hash(cfg: Config) -> str:
    """Hash of every option that changes a number, and of the bytes of the user's checkpoints."""
    what = {name: value for name, value in _plain(cfg).items() if name not in _RUNTIME}
    what["files"] = [_hash_file(Path(p)) for side in (cfg.model, cfg.against) for p in _checkpoints(side)]
    return stimuli.base.digest(what)[:10]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _checkpoints(side: Any) -> list[str]:
    if not isinstance(side, LibraryConfig):
        return []
    return [str(file.path) for run in patterns.runs(patterns.listed(side.checkpoints)) for file in run.files]


def _hash_file(path: Path) -> str:
    if not path.is_file():
        return "missing"  # loading it says so
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _finished(folder: Path) -> pd.DataFrame | None:
    try:
        return results.read([folder / results.RESULTS])
    except ValueError as error:
        _log.warning("%s", error)
        return None


def _compute(cfg: Config, folder: Path) -> pd.DataFrame:
    started = time.monotonic()
    device = resolve_device(cfg.device)
    images = stimuli.load(cfg.dataset, "test")
    folds.assign(len(images), cfg.metric.folds)  # too few for the folds: said before anything is trained
    comparisons = _PLANS[cfg.axis.name](cfg, folder=Path(cfg.cache) / "networks", device=device)
    opened: dict[int, Cached] = {}  # each network's responses are read and verified once
    for number, comparison in enumerate(comparisons, 1):
        if results.read_shard(folder, comparison.name) is None:
            _log.info("comparison %d of %d: %s", number, len(comparisons), comparison)
            _extract(cfg, comparison, images, device, opened)
            results.write_shard(folder, comparison.name, _score(cfg, comparison, opened, device, folder))
    table = results.merge(folder, [c.name for c in comparisons])
    networks = {(n.model, n.weights_hash): n for c in comparisons for n in (*c.x, *c.y)}
    results.write_manifest(folder, _manifest(cfg, device, images, list(networks.values()), started))
    return table


def _extract(
    cfg: Config, comparison: Comparison, images: Stimuli, device: torch.device, opened: dict[int, Cached]
) -> None:
    """Responses of the comparison's networks, by ``id`` of the network, as far as they are not open yet."""
    needed = list({id(n): n for n in (*comparison.x, *comparison.y) if id(n) not in opened}.values())
    with progress("Extracting", len(needed) * len(images), "images") as advance:
        for network in needed:
            opened[id(network)] = extract(
                network,
                images,
                cache=Path(cfg.cache),
                device=device,
                batch_size=cfg.batch_size,
                workers=cfg.workers,
                memory_gb=cfg.memory_gb,
                advance=advance,
            )
            if opened[id(network)].ids != images.ids:
                raise AssertionError("a network saw other stimuli")  # a bug of ours, never a user's


def _score(
    cfg: Config, comparison: Comparison, opened: dict[int, Cached], device: torch.device, folder: Path
) -> pd.DataFrame:
    """Rows of one comparison, in the columns of the results."""
    x, y = (Joined([opened[id(n)] for n in side], labels(side)) for side in (comparison.x, comparison.y))
    with progress("Scoring", len(comparison.pairs) * cfg.metric.folds, "layer pairs × folds") as advance:
        table = score(
            x,
            y,
            comparison.pairs,
            metrics=[m for m in METRICS if m in {name.value for name in cfg.metric.names}],
            folds=cfg.metric.folds,
            seed=cfg.metric.seed,
            device=device,
            memory_gb=cfg.memory_gb,
            advance=advance,
        )
    return _rows(cfg, comparison, (x, y), table, folder.name.rsplit("-", 1)[1])


def _rows(
    cfg: Config, comparison: Comparison, responses: tuple[Joined, Joined], table: pd.DataFrame, run_id: str
) -> pd.DataFrame:
    """From the two sides x and y to the map's point of view: source and target."""
    described = {end: _described(getattr(comparison, end), responses["xy".index(end)]) for end in "xy"}
    forward = table.direction == "x->y"
    parts = []
    for mine, ends in ((forward, "xy"), (~forward, "yx")):
        part = table[mine]
        columns: dict[str, Any] = {}
        for role, end in zip(("source", "target"), ends, strict=True):
            about = described[end].loc[part[f"layer_{end}"]]
            columns |= {f"{role}_{name}": about[name].to_numpy() for name in about}
            columns |= {f"{role}_{name}": part[f"{name}_{end}"].to_numpy() for name in ("units", "dead")}
        parts.append(part.assign(**columns))
    rows = pd.concat(parts).sort_index()
    return rows.assign(axis=cfg.axis.name, dataset=cfg.dataset.name, condition=comparison.condition, run=run_id)


def _described(networks: Sequence[Network], responses: Joined) -> pd.DataFrame:
    """What the results say of each layer, by its label."""
    rows = {}
    for label, (i, layer) in labels(networks).items():
        network = networks[i]
        rows[label] = {
            "layer": layer,
            "depth": network.depths[layer],
            "model": network.model,
            "weights": network.weights,
            "seed": network.seed,
            "step": network.step,
            "epoch": network.epoch,
            "accuracy": responses.parts[i].accuracy,
        }
    return pd.DataFrame.from_dict(rows, orient="index").astype({"seed": "Int64", "step": "Int64"})


def _manifest(
    cfg: Config, device: torch.device, images: Stimuli, networks: list[Network], started: float
) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in ("convergence", "torch", "torchvision", "timm", "numpy", "scipy", "pandas", "pyarrow", "POT"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "config": _plain(cfg),
        "versions": versions,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})",
        "stimuli": {
            "name": images.name,
            "count": len(images),
            "fingerprint": images.fingerprint,
            "skipped": images.skipped,
        },
        "networks": [
            {
                "model": n.model,
                "weights": n.weights,
                "weights_hash": n.weights_hash,
                "preprocess": n.preprocess.describe(),
                "units": n.units.value,
                "layers": {name: {"kind": layer.kind, "shape": layer.shape} for name, layer in n.layers.items()},
            }
            for n in networks
        ],
        "wall_seconds": round(time.monotonic() - started, 2),
        "peak_memory_mib": round(peak / (1024 if sys.platform != "darwin" else 2**20)),
    }
