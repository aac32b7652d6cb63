"""The commands; each is thin over one function. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from convergence.commands import cache as pruning
from convergence.commands import listing, sweep
from convergence.commands import words as overrides
from convergence.experiment import status
from convergence.system import user_code
from convergence.system.errors import UserError

_USAGE = """\
When do independently trained networks come to represent the world alike?

usage: convergence COMMAND …          (or: python -m convergence COMMAND …)

  run [overrides]        one experiment, or a sweep with --multirun
                           run model=tiny_vgg metric=procrustes
                           run dataset=image_folder dataset.root=PATH
                           run --multirun hydra/launcher=slurm model=zoo.yaml
                           run --dry-run …   which comparisons, in how many jobs
  train [overrides]      the seeds of a recipe (run does this by itself)
  figure FOLDER …        draw again from the results of runs
  figure shifts [overrides]
                         every shift and level of a data set, to look at
  report [FOLDER …]      test the paper's claims on the results of runs
  list models|layers|datasets|metrics [pattern]
                         what there is to choose from
  status [FOLDER …]      what is done, running, failed and missing
  cache list|prune       what fills the disk, and what may go

  run --help             all options        run --cfg job   what would run
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what a user can cause, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = {
        "run": _run,
        "train": _train,
        "figure": _figure,
        "report": _report,
        "list": listing.show,
        "status": status.show,
        "cache": pruning.show,
    }
    name = next((w for w in words if w in commands), None)
    # Flags of Hydra may stand before the command; anything else there is a typo of it.
    before = words[: words.index(name)] if name else words
    _log_plainly()
    try:
        if name is None and (not words or words[0] in ("-h", "--help", "help")):
            print(_USAGE, end="")
            return 0
        wrong = next((w for w in before if not w.startswith("-")), None)
        if wrong is not None or name is None:
            near = difflib.get_close_matches(wrong or "", commands, n=1, cutoff=0.0)
            raise UserError(f"'{wrong or words[0]}' is no command; did you mean '{near[0]}'? See convergence --help.")
        words.remove(name)
        with user_code.typed_here():
            return commands[name](words)
    except UserError as error:
        if "debug=true" in words:
            raise
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("stopped; what is done is kept, the same command goes on from there.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(sentence: str) -> None:
    print(f"convergence: {' '.join(sentence.split())}", file=sys.stderr)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment: a caller may have put another one in its place since."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _log_plainly() -> None:
    """Messages as plain sentences on stderr."""
    log = logging.getLogger("convergence")
    if not log.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


# ---------------------------------------------------------------- run, train


def _run(words: list[str]) -> int:
    words = overrides.populations(words)
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
            _say(str(error))  # what it cost is told by the outcome
    for cfg in swept.configs:
        _show(cfg, sweep.outcome(cfg))
    return 0


def _say_plan(swept: sweep.Sweep) -> None:
    count = sum(map(len, swept.jobs))
    logging.getLogger("convergence").info(
        "%d comparisons to make, in %d jobs."
        if count
        else "nothing to do: all comparisons are made (force=true starts over).",
        *((count, len(swept.jobs)) if count else ()),
    )


def _launch(words: list[str]) -> int:
    """One experiment, or Hydra's sweep, wherever its launcher runs the jobs."""
    here = os.getpid()
    failed: list[tuple[str, UserError]] = []

    def task(cfg: Any) -> None:
        _log_plainly()  # in the process of a launcher, too
        from convergence.experiment import population
        from convergence.experiment import run as experiment

        _switch(cfg)
        made = _typed(cfg)
        whole = population.of(made)
        try:
            table = experiment.run(made)
            if whole is None or whole.part is None:
                _show(made, table)
        except UserError as error:
            # One job's failure must not end a sweep, nor be told in Hydra's words.
            from hydra.core.hydra_config import HydraConfig

            job = ",".join(HydraConfig.get().overrides.task)
            if cfg.debug:
                raise
            if _in_sweep() and whole is not None:
                return  # it is told, and in the run's folder
            if _in_sweep():
                _say(f"[{job}] {error}")
            if os.getpid() != here:
                raise
            failed.append((job, error))

    overrides.call(words, task)
    if failed and not any(w in sweep.MULTIRUN for w in words):
        raise failed[0][1]
    if failed:
        _say(f"{len(failed)} of the sweep's jobs failed: {'; '.join(job for job, _ in failed)}.")
    return 1 if failed else 0


def _train(words: list[str]) -> int:
    failed: list[UserError] = []

    def task(cfg: Any) -> None:
        try:
            trained(cfg)
        except UserError as error:  # Hydra would say a line of its own before it
            failed.append(error)

    def trained(cfg: Any) -> None:
        from omegaconf import OmegaConf

        from convergence.models import load as models
        from convergence.models.options import RecipeConfig
        from convergence.system.device import resolve_device
        from convergence.system.options import check

        _switch(cfg)
        made: Any = OmegaConf.to_object(cfg)
        check(made)
        for side in filter(None, (made.model, made.against)):
            if not isinstance(side, RecipeConfig):
                raise UserError(
                    f"{side.name} is not a recipe: only tiny_resnet, tiny_vgg and tiny_vit are trained here."
                )
            place = Path(made.cache) / "networks"
            runs = models.trajectories(side, made.dataset, folder=place, device=resolve_device(made.device))
            for run in runs:
                print(f"{run[-1].model} {run[-1].weights}: {len(run)} checkpoints, {run[-1].step} steps")

    overrides.call(words, task)
    if failed:
        raise failed[0]
    return 0


def _switch(cfg: Any) -> None:
    from convergence.system import progress

    progress.enabled = cfg.progress


def _in_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.get().mode == RunMode.MULTIRUN


def _show(cfg: Any, table: Any) -> None:
    """Draw the figures, and print the summary and where everything lies."""
    from convergence import figures
    from convergence.experiment.folder import run_folder
    from convergence.figures.summary import summary
    from convergence.results.table import RESULTS

    folder = run_folder(cfg)
    print(summary(table))
    print(f"results  {folder if status.read_plan(folder) else folder / RESULTS}")
    if cfg.figures:
        for path in figures.draw(table, folder):
            if path.suffix == ".png":
                print(f"figure   {path} (and .pdf)")


def _typed(cfg: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_object(cfg)


# ---------------------------------------------------------------- figure


def _figure(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: convergence figure FOLDER …\n       convergence figure shifts [overrides]\n\n"
            "Draws the figures of these runs (folders, globs) from parquet alone; or a sheet\n"
            "of a data set's shifts at all levels (of a folder named shifts: ./shifts)."
        )
        return 0 if words else 1
    if words[0] == "shifts":
        return _shifts(words[1:])
    from convergence import figures
    from convergence.figures import figure1
    from convergence.results import table as results

    table = results.read(words)
    for axis, rows in table.groupby("axis"):
        folder = _common(words)
        several = table.run.nunique() > 1 and status.read_plan(folder) is None
        place = folder / (f"{axis}-figures" if several else "")
        for path in figures.draw(rows, place):
            print(path)
    if set(figure1.AXES) <= set(table.axis):
        for path in figure1.draw(table, _common(words)):
            print(path)
    return 0


def _shifts(words: list[str]) -> int:
    from convergence.figures import shifts
    from convergence.stimuli.samples import samples
    from convergence.system.device import resolve_device
    from convergence.system.options import check

    composed: list[Any] = []
    overrides.call(["dataset.levels=all", *words], composed.append)
    for cfg in composed:  # none after --help or --cfg
        _switch(cfg)
        made = _typed(cfg)
        check(made)
        rows = samples(made.dataset, resolve_device(made.device))
        for path in shifts.sheet(rows, Path(made.output) / "shifts" / made.dataset.name):
            print(path)
    return 0


def _common(places: list[str]) -> Path:
    """The folder that the figures of one run, or of several, belong into."""
    from glob import glob

    found = [Path(p).resolve() for place in places for p in glob(place, recursive=True)]
    folders = [p if p.is_dir() else p.parent for p in found]
    if len(folders) == 1:
        inner = [p.parent for p in folders[0].rglob("results.parquet")]
        return inner[0] if len(inner) == 1 else folders[0]
    return Path(os.path.commonpath(folders))


# ---------------------------------------------------------------- report

_REPORT_USAGE = """\
usage: convergence report [FOLDER …] [--output FOLDER]

Tests the paper's seven claims on the results of these runs (folders, globs; all
under outputs/ without any), prints a table, and writes report.md, report.html
and their figures: beside the results of one run, above those of several, or
into --output.
"""


def _report(words: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser("convergence report", add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("places", nargs="*", default=["outputs"])
    parser.add_argument("--output")
    parser.add_argument("-h", "--help", action="store_true")
    try:
        options, unknown = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise UserError(f"report {error.argument_name}: {error.message}; see convergence report --help.") from None
    if options.help:
        print(_REPORT_USAGE, end="")
        return 0
    if unknown:
        raise UserError(f"report has no option {unknown[0]}; see convergence report --help.")
    from convergence import report
    from convergence.results import table as results

    table = results.read(options.places)
    text, paths = report.write(table, Path(options.output) if options.output else _common(options.places))
    print(text)
    for path in paths:
        print(f"report   {path}")
    return 0
