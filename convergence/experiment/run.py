"""One experiment: plan → representations → scores → shards → table."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from convergence.activations.loading import Clock
from convergence.alignment.chance import null as nulls
from convergence.alignment.metrics import catalogue
from convergence.axes import depth, ood, training
from convergence.axes.comparison import Comparison
from convergence.experiment import population, status
from convergence.experiment.config import Config
from convergence.experiment.estimate import estimate
from convergence.experiment.folder import run_folder
from convergence.experiment.identity import identity, told
from convergence.experiment.inputs import are_current, inputs, manifest_of, touched
from convergence.experiment.manifest import manifest
from convergence.experiment.representations import Representations
from convergence.experiment.rows import rows_of
from convergence.results import table as results
from convergence.results.plan import write_plan
from convergence.system import cores, threads
from convergence.system.claims import only_one
from convergence.system.device import resolve_device
from convergence.system.errors import UserError
from convergence.system.files import explained
from convergence.system.hashing import digest
from convergence.system.options import check
from convergence.system.process import showing_progress

_log = logging.getLogger("convergence")
PLANS = {"depth": depth.plan, "training": training.plan, "ood": ood.plan}
_ATTEMPTS = 3  # at a table of which no shard is missing
_NOTHING = "nothing to do: %s has all results (force=true starts over)."


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
    # torch counts the machine's cores, not those of a container's quota or of a task.
    threads.at_most(cores.available())
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
            tables.append(_run(replace(runs[key], figures=False)))  # they are drawn once, of all
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
            _unlink(folder / status.MANIFEST)  # first: without it, nothing else counts as done
            shutil.rmtree(folder / "shards", ignore_errors=True)
        table = _finished(cfg, folder)
        return _compute(cfg, folder) if table is None else table


def _finished(cfg: Config, folder: Path) -> pd.DataFrame | None:
    """The rows of a run that is done: whole, and made from what still lies there."""
    about = manifest_of(folder)
    if about is None or not are_current(cfg, folder):
        return None
    found = results.merged(folder)
    if found is None:
        return None
    table, identities = found
    if about.get("results") != _summary(table, identities):
        return None
    _log.info(_NOTHING, folder)
    return table


def _compute(cfg: Config, folder: Path) -> pd.DataFrame:
    started = time.monotonic()
    # Too few draws for alpha, chance that leaves no row, a cache that can't be made: said before anything is trained.
    if null := nulls.of(cfg.null):
        nulls.say_where_idle(null, catalogue.resolve(cfg.metric.names))
    with explained(Path(cfg.cache)):
        Path(cfg.cache).mkdir(parents=True, exist_ok=True)
    device = resolve_device(cfg.device)
    before = inputs(cfg)  # what is changed from here on is noticed by the next run
    comparisons = PLANS[cfg.axis.name](cfg, folder=Path(cfg.cache) / "networks", device=device)
    wanted = {comparison.name: identity(cfg, comparison) for comparison in comparisons}
    assert len(wanted) == len(comparisons), "two comparisons of a run have one name"
    _say_what_changed(folder, wanted)
    _unlink(folder / status.MANIFEST)
    clock = Clock()
    table: pd.DataFrame | None = None
    for attempt in range(_ATTEMPTS):
        missing = [c for c in comparisons if results.read_shard(folder, c.name, wanted[c.name]) is None]
        if not missing and attempt == 0:
            _log.info(_NOTHING, folder)
        if missing:
            _log.info("%s", estimate(cfg, missing, device))
            responses = _extracted(cfg, missing, device, clock, before)
            for number, comparison in enumerate(missing, 1):
                _log.info("comparison %d of %d: %s", number, len(missing), comparison)
                rows = rows_of(cfg, comparison, responses, device).assign(run=folder.name.rsplit("-", 1)[1])
                results.write_shard(folder, comparison.name, rows, wanted[comparison.name])
        # A shard may have been broken or removed since it was written: then it is written again.
        table = results.merge(folder, wanted)
        if table is not None:
            break
    if table is None:
        raise UserError(f"{folder}/shards does not keep what is written to it: check that disk, or choose another.")
    about = manifest(cfg, device, comparisons, clock, started)
    about |= {"inputs": before, "results": _summary(table, wanted)}
    results.write_manifest(folder, about)
    return table


def _extracted(
    cfg: Config, missing: Sequence[Comparison], device: torch.device, clock: Clock, before: Mapping[str, str]
) -> Representations:
    """All responses, if what they are made from is as it was ``before``."""
    representations = Representations(missing, cfg, device, clock)
    now = touched(cfg)
    changed = [name for name in now if now[name] != before.get(name)]
    if changed:  # nobody knows which of the responses are to what
        representations.forget()
        raise UserError(
            f"{', '.join(changed)} changed while this run read it: what was computed from it is thrown away; give the "
            "same command again."
        )
    return representations


def _say_what_changed(folder: Path, wanted: Mapping[str, results.Identity]) -> None:
    """Once, if results are there that were made from something else."""
    there = [
        (found, new) for name, new in wanted.items() if (found := results.shard_identity(folder, name)) is not None
    ]
    other = [(found, new) for found, new in there if found != new]
    if other:
        _log.warning(
            "%d of %d comparisons in %s were made from %s: they are computed again.",
            len(other),
            len(wanted),
            folder,
            told(other),
        )


def _summary(table: pd.DataFrame, identities: Mapping[str, results.Identity]) -> dict[str, Any]:
    """Which results a manifest belongs to."""
    return {"rows": len(table), "comparisons": len(identities), "identity": digest(dict(identities))}


def _unlink(path: Path) -> None:
    with explained(path):
        path.unlink(missing_ok=True)
