"""Training runs side by side: a process and one thread each, which on a few cores is faster than one after the other.

Small networks gain little from a second thread, and their weights then depend on how many there are. Each process
trains one seed into the folder that it would be trained into anyway; what it leaves undone is done, or refused in
words, by whoever asked for it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from convergence.models.options import RecipeConfig
from convergence.stimuli.options import DatasetConfig
from convergence.system import cores
from convergence.system.process import shows_progress


def train_ahead(configs: Sequence[RecipeConfig], dataset: DatasetConfig, folder: Path) -> None:
    """Train each of these recipes, of one seed each, on the CPU into ``folder``; returns when all have ended."""
    running: list[subprocess.Popen[bytes]] = []
    shown = shows_progress()

    def train(config: RecipeConfig) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "convergence.models.train_one"]
        pipes: Any = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, env=environment, **pipes)
        running.append(process)
        with process:  # its input stays open: that is how it knows that somebody waits
            assert process.stdin is not None
            assert process.stderr is not None
            try:
                pickle.dump((config, dataset, folder, shown), process.stdin)
                process.stdin.flush()
            except BrokenPipeError:  # it ended at once
                return
            for line in process.stderr:  # a whole line at a time, of whichever has one
                sys.stderr.write(line.decode(errors="replace"))

    # More than there are cores: three on two of them end together.
    with ThreadPoolExecutor(min(len(configs), 2 * cores.available() - 1)) as pool:
        try:
            list(pool.map(train, configs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()
            raise
