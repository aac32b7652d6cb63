"""Networks with the user's own weights: training runs of one architecture, as files tell them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from convergence.models import epochs, patterns
from convergence.models.architecture import Architecture
from convergence.models.checkpoints.load import Fit, build, fit
from convergence.models.network import Network

_log = logging.getLogger("convergence")


def trajectories(architecture: Architecture, *, from_start: bool = False) -> list[list[Network]]:
    """For each training run among ``model.checkpoints`` its networks, in order of training.

    What had to be assumed of the files is said, once for all that are alike.

    Parameters
    ----------
    from_start : let runs that have no checkpoint before training begin with a network initialised at random.

    Raises
    ------
    UserError
        If a file is missing, can't be read, or is of another architecture.
    """
    runs = patterns.runs(patterns.listed(architecture.config.checkpoints))
    said: set[tuple[str, ...]] = set()
    return [_trajectory(architecture, run, number, from_start, said) for number, run in enumerate(runs)]


def _trajectory(
    architecture: Architecture, run: patterns.Run, number: int, from_start: bool, said: set[tuple[str, ...]]
) -> list[Network]:
    """The checkpoints of one training run; layers and preprocessing are looked up once, for the first."""
    files = epochs.counted(run, partial(_is_trained, architecture))
    first = files[0]
    fitting = _fit(architecture, first.path)
    networks = [
        architecture.network(
            run.name,
            partial(_own, architecture, first.path),
            run.seed,
            first.step,
            first.epoch,
            fitting=fitting,
        )
    ]
    _say(first.path, fitting, said)
    for file in files[1:]:
        _say(file.path, _fit(architecture, file.path), said)
        builder = partial(_own, architecture, file.path)
        weights = architecture.hash(builder())
        networks.append(replace(networks[0], step=file.step, epoch=file.epoch, weights_hash=weights, builder=builder))
    if from_start and not networks[0].is_untrained:
        _log.warning(
            "%s has no checkpoint before training: its rise is measured from a network of the same architecture, "
            "initialised at random.",
            run.name,
        )
        seed = number if run.seed is None else run.seed
        builder = partial(architecture.initialised, seed, fitting.classes)
        weights = architecture.hash(builder())
        networks.insert(0, replace(networks[0], step=0, epoch=0.0, weights_hash=weights, builder=builder))
    return networks


def _say(path: Path, fitting: Fit, said: set[tuple[str, ...]]) -> None:
    if fitting.notes and fitting.notes not in said:
        said.add(fitting.notes)
        _log.info("%s: %s.", path.name, "; ".join(fitting.notes))


def _is_trained(architecture: Architecture, path: Path) -> bool | None:
    """Whether a file's network has been trained: as its step tells, or weights that are other than initial ones.

    These are judged by what every initialisation sets to the same: biases, scales and running statistics.
    """
    fitting = _fit(architecture, path)
    if fitting.step is not None:
        return fitting.step > 0
    one, other = (architecture.initialised(seed, fitting.classes) for seed in (0, 1))
    first, second = one.state_dict(), other.state_dict()
    told = [n for n, _ in one.named_parameters()] + [n for n in first if "running" in n or n.endswith("_tracked")]
    fixed = [n for n in told if n in fitting.state and torch.equal(first[n], second[n])]
    return any(not torch.equal(first[n].float(), fitting.state[n].float()) for n in fixed) if fixed else None


def _own(architecture: Architecture, path: Path) -> nn.Module:
    fitting = _fit(architecture, path)
    return build(architecture.create(fitting.classes), fitting)


def _fit(architecture: Architecture, path: Path) -> Fit:
    return fit(architecture.config, architecture.skeleton, path, architecture.resizable)
