"""A population as a sweep: before it, what is still to be compared, as jobs; after it, what came of them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from convergence.commands.words import MULTIRUN, call, choices, split, typed
from convergence.system.errors import UserError

_SHOWING = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i")  # flags that run nothing


@dataclass
class Sweep:
    """The experiments of a command (several where options are swept), and the jobs that are left of them."""

    configs: list[Any]
    jobs: list[list[str]]  # keys of comparisons, for each job

    def __str__(self) -> str:
        if not self.jobs:
            return "nothing to do: all comparisons are made (force=true starts over)."
        times = f", for each of {len(self.configs)} experiments" if len(self.configs) > 1 else ""
        return f"{sum(map(len, self.jobs))} comparisons to make, in {len(self.jobs)} jobs{times}."

    def words(self, words: Sequence[str]) -> list[str]:
        """The command with the jobs as one more swept option."""
        parts = ",".join(f"[{','.join(keys)}]" for keys in self.jobs)
        return [*words, f"{_option(self.configs[0])}.part={parts}"]


def prepare(words: Sequence[str]) -> Sweep | None:
    """The jobs of a multirun over a population's comparisons; None for any other command.

    Raises
    ------
    UserError
        If the population is not understood.
    """
    if not any(word in MULTIRUN for word in words) or any(w in _SHOWING for w in words):
        return None
    configs = compose(words)
    from convergence.experiment import population

    populations = [population.of(cfg) for cfg in configs]
    if not any(populations):
        return None
    if not all(populations):
        raise UserError("a sweep takes populations or single networks, not both: give it two commands.")
    from convergence.experiment import run as experiment
    from convergence.experiment.inputs import are_current

    left: dict[str, None] = {}
    for cfg in configs:
        for key, unit in experiment.plan(cfg).items():
            if cfg.force or not are_current(unit):
                left[key] = None
    size = populations[0].per_job  # type: ignore[union-attr]
    keys = list(left)
    return Sweep(configs, [keys[i : i + size] for i in range(0, len(keys), size)])


def compose(words: Sequence[str]) -> list[Any]:
    """The typed config of each experiment that the words stand for, without running any."""
    found: list[Any] = []
    swept = any(word in MULTIRUN for word in split(words)[0])
    for one in choices(words) if swept else [words]:
        call(one, found.append)
    return [typed(cfg) for cfg in found]


def planned(words: Sequence[str]) -> str:
    """Each comparison that the words stand for and its state, the jobs that a sweep makes of what is left, its cost."""
    from convergence.axes.recorded import without_images
    from convergence.experiment import folder as runs
    from convergence.experiment import population, status
    from convergence.experiment import run as experiment
    from convergence.experiment.forecast import forecast
    from convergence.experiment.inputs import are_current
    from convergence.system.device import resolve_device

    lines, jobs = [], 0
    missing: list[Any] = []
    for cfg in compose(words):
        whole = population.of(cfg)
        units = population.units(cfg)
        found = [status.of(runs.run_folder(unit), population.title(unit)) for unit in units]
        found = [
            replace(run, state=status.State.missing)
            if run.state is status.State.done and not are_current(unit)
            else run
            for unit, run in zip(units, found, strict=True)
        ]
        left = [run for run in found if run.state is not status.State.done]
        jobs += -(-len(left) // (whole.per_job if whole else 1))
        missing += [unit for unit, run in zip(units, found, strict=True) if run in left]
        lines += [f"{run.state.value:<8} {run.name}" for run in found]
        count = "the common" if without_images(cfg) else cfg.dataset.stimuli or "all"
        lines.append(f"{status.counted(found)} of {len(found)} on {count} stimuli")
    lines.append(f"{jobs} job{'' if jobs == 1 else 's'}")
    if missing:
        device = resolve_device(missing[0].device)
        lines += textwrap.wrap(str(forecast(missing, experiment.PLANS, device)), 80)
    return "\n".join(lines)


def _option(cfg: Any) -> str:
    from convergence.experiment.config import PopulationConfig

    return "model" if isinstance(cfg.model, PopulationConfig) else "against"


def outcome(cfg: Any) -> Any:
    """The rows of a population's runs, when all are done.

    Raises
    ------
    UserError
        If some are not: how many, the first failure, and what to do.
    """
    from convergence.experiment import folder as runs
    from convergence.experiment import status
    from convergence.results import table as results

    folder = runs.run_folder(cfg)
    states = [status.of(run, name) for run, name in (status.read_plan(folder) or {}).items()]
    if all(run.state is status.State.done for run in states):
        return results.read([folder])
    first = next((f" ({run.name}: {run.note})" for run in states if run.state is status.State.failed), "")
    raise UserError(
        f"{folder}: {status.counted(states)}{first}. The same command computes what is missing; `convergence status "
        f"{os.path.relpath(folder)}` tells more."
    )
