"""One experiment: plan → representations → moments → scores → table → figures."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from convergence.activations.cache import Joined
from convergence.alignment.chance import null as nulls
from convergence.alignment.score import rounds_of, score, transfer
from convergence.axes import depth, ood, training
from convergence.axes.comparison import Comparison, labels
from convergence.axes.options import OodConfig, Protocol
from convergence.experiment import population, status
from convergence.experiment.config import Config
from convergence.experiment.estimate import estimate
from convergence.experiment.folder import dataset_of, metrics_of, run_folder
from convergence.experiment.manifest import manifest
from convergence.experiment.representations import Representations
from convergence.models.network import Network
from convergence.results import table as results
from convergence.results.plan import write_plan
from convergence.system.claims import only_one
from convergence.system.device import resolve_device
from convergence.system.errors import UserError
from convergence.system.options import check
from convergence.system.process import showing_progress
from convergence.system.progress import progress

_log = logging.getLogger("convergence")
PLANS = {"depth": depth.plan, "training": training.plan, "ood": ood.plan}


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
    whole = population.of(cfg)
    with showing_progress(cfg.progress):
        return _run(cfg) if whole is None else _run_all(cfg, whole.part)


def plan(cfg: Config) -> dict[str, Config]:
    """The runs of a population, by their keys, written to ``plan.json`` in its folder."""
    runs = {population.key(unit): unit for unit in population.units(cfg)}
    write_plan(run_folder(cfg), {run_folder(unit): population.title(unit) for unit in runs.values()})
    return runs


def _run_all(cfg: Config, part: list[str] | None) -> pd.DataFrame:
    """Each comparison of a population (or a part of them) in turn; one that fails does not end the others."""
    runs = plan(cfg)
    changed = [key for key in part or [] if key not in runs]
    if changed:
        raise UserError(f"the population has changed since this sweep began ({', '.join(changed)}): start it again.")
    tables, failed = [], []
    for key in part or runs:
        try:
            tables.append(_run(runs[key]))
        except UserError as error:
            if cfg.debug:
                raise
            failed.append(f"{population.title(runs[key])}: {error}")
            _log.warning("%s", failed[-1])
    if failed:
        raise UserError(
            f"{len(failed)} of {len(part or runs)} comparisons failed ({failed[0]}); the others are in {cfg.output}, "
            "and the same command computes what is missing."
        )
    return pd.concat(tables, ignore_index=True)


def _run(cfg: Config) -> pd.DataFrame:
    folder = run_folder(cfg)
    waiting = f"another run works in {folder}: waiting for it."
    with only_one(folder / status.LOCK, waiting), status.noted(folder):
        if cfg.force:
            shutil.rmtree(folder / "shards", ignore_errors=True)
            (folder / status.MANIFEST).unlink(missing_ok=True)
        if (folder / status.MANIFEST).exists():
            table = _finished(folder)
            if table is not None:
                _log.info("nothing to do: %s has all results (force=true starts over).", folder)
                return table
        table = _compute(cfg, folder)
    return table


def _finished(folder: Path) -> pd.DataFrame | None:
    try:
        return results.read([folder / results.RESULTS])
    except ValueError as error:
        _log.warning("%s", error)
        return None


def _compute(cfg: Config, folder: Path) -> pd.DataFrame:
    started = time.monotonic()
    nulls.of(cfg.null)  # too few draws for alpha: said before anything is trained
    device = resolve_device(cfg.device)
    comparisons = PLANS[cfg.axis.name](cfg, folder=Path(cfg.cache) / "networks", device=device)
    missing = [c for c in comparisons if results.read_shard(folder, c.name) is None]
    if missing:
        _log.info("%s", estimate(cfg, missing, device))
    representations = Representations(missing, cfg, device)
    for number, comparison in enumerate(missing, 1):
        _log.info("comparison %d of %d: %s", number, len(missing), comparison)
        table = _score(cfg, comparison, representations, device)
        results.write_shard(folder, comparison.name, table.assign(run=folder.name.rsplit("-", 1)[1]))
    table = results.merge(folder, [c.name for c in comparisons])
    results.write_manifest(folder, manifest(cfg, device, comparisons, representations.clock, started))
    return table


def _score(cfg: Config, comparison: Comparison, representations: Representations, device: torch.device) -> pd.DataFrame:
    """Rows of one comparison, in the columns of the results."""
    protocols = cfg.axis.protocols if isinstance(cfg.axis, OodConfig) and comparison.conditions else []
    metrics = metrics_of(cfg)
    null = nulls.of(cfg.null)
    rounds, once = rounds_of(metrics, null), rounds_of(metrics, None)
    passes = sum(rounds * len(comparison.conditions) if p is Protocol.refit else once for p in protocols) or rounds
    within = representations.of(comparison, comparison.stimuli)
    others = [representations.of(comparison, condition.stimuli) for condition in comparison.conditions]
    parts = []
    with progress("Scoring", passes * len(comparison.pairs) * cfg.metric.folds, "layer pairs × folds") as advance:
        options: dict[str, Any] = {
            "metrics": metrics,
            "folds": cfg.metric.folds,
            "seed": cfg.metric.seed,
            "device": device,
            "memory_gb": cfg.memory_gb,
            "advance": advance,
        }
        if not comparison.conditions:
            parts.append(_rows(comparison, within, score(*within, comparison.pairs, null=null, **options)))
        for protocol in protocols:
            if protocol is Protocol.refit:
                tables = [score(*other, comparison.pairs, null=null, **options) for other in others]
            else:
                tables = transfer(*within, others, comparison.pairs, **options)
            for condition, other, table in zip(comparison.conditions, others, tables, strict=True):
                rows = _rows(comparison, other, table)
                parts.append(rows.assign(condition=condition.name, level=condition.level, protocol=protocol.value))
    return pd.concat(parts, ignore_index=True).assign(axis=cfg.axis.name, dataset=dataset_of(cfg))


def _rows(comparison: Comparison, responses: tuple[Joined, Joined], table: pd.DataFrame) -> pd.DataFrame:
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
    return pd.concat(parts).sort_index().assign(condition="wd")


def _described(networks: Sequence[Network], responses: Joined) -> pd.DataFrame:
    """What the results say of each layer, by its label."""
    rows = {}
    for label, (i, layer) in labels(networks).items():
        network, repeated = networks[i], getattr(responses.parts[i], "reliability", {})
        rows[label] = {
            "layer": layer,
            "depth": network.depths[layer],
            "model": network.model,
            "weights": network.weights,
            "seed": network.seed,
            "step": network.step,
            "epoch": network.epoch,
            "accuracy": responses.parts[i].accuracy,
            "reliability": float(repeated[layer].nanmean()) if layer in repeated else float("nan"),
        }
    return pd.DataFrame.from_dict(rows, orient="index").astype({"seed": "Int64", "step": "Int64"})
