"""Extraction on several threads: which networks answer to which images at once, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from convergence.activations.extract import CHUNK_BYTES, values_per_stimulus
from convergence.axes.comparison import Comparison
from convergence.experiment.config import Config
from convergence.models.network import Network
from convergence.models.recordings.recording import Recording
from convergence.stimuli.base import Stimuli
from convergence.system import budget

Task = tuple[Network, Stimuli]
_COPIES = 3  # of a chunk: its batches, what they are joined to, and the file that is made of it
_BATCH = 2**27  # bytes of a batch on its way through a network, about


def tasks(comparisons: Sequence[Comparison]) -> list[Task]:
    """Which network answers to which images, each once: one set of images after another, all networks that need it."""
    wanted: dict[str, tuple[Stimuli, dict[str, Network]]] = {}
    for comparison in comparisons:
        for images in comparison.all_stimuli:
            wanted.setdefault(images.fingerprint, (images, {}))[1].update({n.key: n for n in comparison.networks})
    return [(network, images) for images, networks in wanted.values() for network in networks.values()]


def jobs(asked: Sequence[Task], cfg: Config, device: torch.device) -> tuple[list[list[Task]], int]:
    """The tasks, in their order, as jobs for a thread each, and how many threads work at once.

    On a CPU a thread for each core, as far as memory allows: small images, and small networks, keep no more than one
    core busy. The networks that see a set of images come after one another on one thread, if there are enough sets:
    the images are then made while other networks are at work. A network of the user's own code is at work alone.
    """
    sets = [list(group) for _, group in groupby(asked, key=lambda task: task[1].fingerprint)]
    cores = torch.get_num_threads()
    alone = device.type != "cpu" or bool(cfg.workers) or any(network.own_code for network, _ in asked)
    if alone or not asked:
        return sets, 1
    found = sets if len(sets) >= cores else [[task] for task in asked]
    room = budget.counted(cfg.memory_gb, device) * 2**30
    return found, max(1, min(cores, len(found), int(room / max(map(held, asked)))))


def held(task: Task) -> int:
    """Bytes that extracting it holds, about."""
    network, images = task
    return 1 if isinstance(network, Recording) else network.size + _BATCH + answers((network, images))


def answers(task: Task) -> int:
    """Bytes of the responses among them."""
    network, images = task
    return _COPIES * min(CHUNK_BYTES, 4 * values_per_stimulus(network) * len(images))
