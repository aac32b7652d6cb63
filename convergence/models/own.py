"""Networks with the user's own weights: training runs of one architecture, as files tell them."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from convergence.models import checkpoints, epochs, patterns
from convergence.models.architecture import Architecture
from convergence.models.network import Network

_log = logging.getLogger("convergence")


def trajectories(architecture: Architecture, *, from_start: bool = False) -> list[list[Network]]:
    """For each training run among ``model.checkpoints`` its networks, in order of training.

    Parameters
    ----------
    from_start : let runs that have no checkpoint before training begin with a network initialised at random.

    Raises
    ------
    UserError
        If a file is missing, can't be read, or is of another architecture.
    """
    runs = patterns.runs(patterns.listed(architecture.config.checkpoints))
    return [_trajectory(architecture, run, number, from_start) for number, run in enumerate(runs)]


def _trajectory(architecture: Architecture, run: patterns.Run, number: int, from_start: bool) -> list[Network]:
    """The checkpoints of one training run; layers and preprocessing are looked up once, for the first."""
    files = epochs.counted(run, partial(_differs, architecture))
    first = files[0]
    networks = [
        architecture.network(run.name, partial(_own, architecture, first.path), run.seed, first.step, first.epoch)
    ]
    for file in files[1:]:
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
        builder = partial(architecture.initialised, seed, _state(architecture, first.path)[1])
        weights = architecture.hash(builder())
        networks.insert(0, replace(networks[0], step=0, epoch=0.0, weights_hash=weights, builder=builder))
    return networks


def _differs(architecture: Architecture, path: Path) -> bool | None:
    """Whether the file's weights are other than initial ones, judged by what every initialisation sets to the same.

    Such are biases, scales and shifts of normalisation, and its running statistics.
    """
    state, classes = _state(architecture, path)
    first, second = (architecture.initialised(seed, classes).state_dict() for seed in (0, 1))
    fixed = [n for n, v in first.items() if n in state and torch.equal(v, second[n]) and v.shape == state[n].shape]
    learned = {n for n, _ in architecture.create(classes).named_parameters()}
    told = [n for n in fixed if n in learned or "running" in n or n.endswith("num_batches_tracked")]
    return any(not torch.equal(first[n].float(), state[n].float()) for n in told) if told else None


def _own(architecture: Architecture, path: Path) -> nn.Module:
    state, classes = _state(architecture, path)
    model = architecture.create(classes)
    checkpoints.load(model, state, path, architecture.name)
    return model


def _state(architecture: Architecture, path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The file's weights, and how many classes they have where the architecture has another number."""
    config = architecture.config
    expected = architecture.create(None).state_dict()
    state = checkpoints.strip(checkpoints.rename(checkpoints.read(path), config.key_map), expected)
    return state, checkpoints.outputs(state, expected)
