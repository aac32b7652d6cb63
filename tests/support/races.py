"""What processes do at the same time, or until they are killed, in tests of the cache and of files."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from convergence.activations import cache
from convergence.activations import extract as activations
from convergence.activations.loading import Loader
from convergence.results import table as results
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system.claims import only_one
from tests.support.networks import network as net


def extracted(place: Path, log: Path) -> Any:
    """Responses of a small network to 40 images; each forward pass over all of them leaves a line in the log."""

    def note(_: nn.Module) -> None:
        with open(log, "a") as handle:
            handle.write(f"{os.getpid()}\n")

    network = net()
    noisy = replace(network, builder=partial(_noted, network.builder, note))
    images = load(ShapesConfig(size=16, stimuli=40), "test")
    return activations.extract(noisy, Loader(noisy.preprocess, images, place, 8, 0, torch.device("cpu")))


def _noted(build: Callable[[], nn.Module], note: Callable[[nn.Module], None]) -> nn.Module:
    model = build()
    note(model)
    return model


def extract_together(place: Path, log: Path, held: bool, together: Any, found: Any) -> None:
    """Extract when all are ready, where a claim holds or not; the sum of what was extracted is put into ``found``."""
    if not held:
        cache.only_one = lambda path, waiting: contextlib.nullcontext()  # type: ignore[assignment, misc]
    together.wait(60)
    found.put(float(extracted(place, log).read(["fc"], 0, 40)["fc"].sum()))


def write_on(folder: Path, told: Connection, kind: str) -> None:
    """Write files, one after another, each told when it is there."""
    table = pd.DataFrame({"axis": ["depth"] * 200, "score": range(200)})
    for i in range(1000):
        if kind == "shard":
            results.write_shard(folder, f"{i}", table)
        else:
            cache.Entry(folder).write_chunk(i, {"layer": torch.full((64, 64), float(i))})
        told.send(i)


def hold(path: Path) -> None:
    """Hold a claim for a minute."""
    with only_one(path, ""):
        time.sleep(60)


def read_on(folder: Path, other: Connection) -> None:
    """Open an entry, say so, and when told to go on, send the sum of what it holds."""
    reading = cache.Entry(folder).open()
    assert reading is not None
    other.send("open")
    other.recv()
    other.send(float(reading.read(["layer"], 0, 4)["layer"].sum()))
