"""``convergence run``: one experiment, or with ``--multirun`` a sweep, wherever its launcher runs the jobs."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from convergence.commands import sweep
from convergence.commands.output import log_plainly, say
from convergence.commands.words import MULTIRUN, call, split, typed
from convergence.system.errors import UserError
from convergence.system.process import loading, showing_progress


def add(commands: Any) -> None:
    """Declare ``run``: its flags and overrides are Hydra's, ``--help`` too."""
    parser = commands.add_parser(
        "run", help="one experiment, or a sweep with --multirun", prefix_chars="\0", add_help=False
    )
    parser.add_argument("words", nargs="*")
    parser.set_defaults(call=lambda options: run(options.words))


def run(words: Sequence[str]) -> int:
    """Run what the words say; returns the exit status."""
    if "--dry-run" in words:
        print(sweep.planned([word for word in words if word != "--dry-run"]))
        return 0
    swept = sweep.prepare(words)
    if swept is None:
        return _launch(words)
    logging.getLogger("convergence").info("%s", swept)
    if swept.jobs:
        try:
            _launch(swept.words(words))
        except UserError as error:
            say(str(error))  # the outcome says which comparisons it left undone
    for cfg in swept.configs:
        _show(cfg, sweep.outcome(cfg))
    return 0


def _launch(words: Sequence[str]) -> int:
    here = os.getpid()
    failed: list[tuple[str, UserError]] = []

    def task(cfg: Any) -> None:
        log_plainly()  # in the process of a launcher, too
        with loading():
            from convergence.experiment import population
            from convergence.experiment import run as experiment

        whole = None
        try:
            made = typed(cfg)
            whole = population.of(made)
            table = experiment.run(made)
            if whole is None or whole.part is None:
                _show(made, table)
        except UserError as error:
            # One job's failure must not end a sweep, nor be worded by Hydra.
            if cfg.debug:
                raise
            job, in_sweep = _job()
            if in_sweep and whole is not None:
                return  # it is logged, and in the run's folder
            if in_sweep:
                say(f"[{job}] {error}")
            if os.getpid() != here:
                raise
            failed.append((job, error))

    call(words, task)
    if failed and not any(word in MULTIRUN for word in split(words)[0]):
        raise failed[0][1]
    if failed:
        say(f"{len(failed)} of the sweep's jobs failed: {'; '.join(job for job, _ in failed)}.")
    return 1 if failed else 0


def _job() -> tuple[str, bool]:
    """The overrides of the job at work, and whether it is one of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return ",".join(HydraConfig.get().overrides.task), HydraConfig.get().mode == RunMode.MULTIRUN


def _show(cfg: Any, table: Any) -> None:
    """Draw the figures, and print the summary and where everything lies."""
    with loading():
        from convergence import figures
        from convergence.experiment.folder import run_folder
        from convergence.figures.summary import summary
        from convergence.results.plan import read_plan
        from convergence.results.table import RESULTS

    folder = run_folder(cfg)
    print(summary(table))
    print(f"results  {folder if read_plan(folder) else folder / RESULTS}")
    if cfg.figures:
        with showing_progress(cfg.progress):
            paths = figures.draw(table, folder)
        for path in paths:
            if path.suffix == ".png":
                print(f"figure   {path} (and .pdf)")
