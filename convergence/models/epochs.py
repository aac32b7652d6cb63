"""Which checkpoint is of the untrained network, and whether a run counts its epochs from 0 or from 1."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from convergence.models.patterns import File, Run

_log = logging.getLogger("convergence")


def is_untrained(step: int | None, epoch: float | None) -> bool:
    """Whether a network at this point of training is untrained: by steps where they are known, else by epochs done."""
    return step == 0 if step is not None else epoch == 0


def counted(run: Run, differs: Callable[[Path], bool | None]) -> tuple[File, ...]:
    """The files of a run with the epochs that were done at each.

    Many count from 0, and call the state after the first epoch ``epoch=0``. That is taken to be so where a step above 0
    says so, or where the file's weights differ from their initialisation. Where several files stand at one epoch, steps
    alone tell their order.

    Parameters
    ----------
    differs : whether the weights of a file are other than initial ones; None: not to be known.
    """
    files = run.files
    epochs = [file.epoch for file in files if file.epoch is not None]
    first = [file for file in files if file.epoch == 0]
    if first and _from_zero(run, first, differs):
        files = tuple(f if f.step == 0 or f.epoch is None else replace(f, epoch=f.epoch + 1) for f in files)
    if len(set(epochs)) < len(epochs) and all(file.step is not None for file in files):
        files = tuple(replace(f, epoch=0.0 if f.step == 0 else None) for f in files)
    # Results tell the untrained network by its step.
    return tuple(replace(f, step=0) if is_untrained(f.step, f.epoch) else f for f in files)


def _from_zero(run: Run, first: list[File], differs: Callable[[Path], bool | None]) -> bool:
    steps = [file.step for file in first]
    if None not in steps:
        trained: bool | None = any(steps)
        why = f"step {max(s for s in steps if s is not None)} of it"
    else:
        trained, why = differs(first[0].path), "its weights are not initial ones"
    if trained:
        _log.warning(
            "%s: epochs are counted from 0 (%s: %s), so that epoch 0 is read as the first one done.",
            run.name,
            first[-1].path.name,
            why,
        )
    elif trained is None:
        _log.warning(
            "%s: epoch 0 (%s) is taken for the network before training; nothing in it tells. If it is the end of the "
            "first epoch, number the files from 1.",
            run.name,
            first[0].path.name,
        )
    return bool(trained)
