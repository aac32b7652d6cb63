"""``python -m convergence.models.train_one``: trains what it reads from its input (``side_by_side.py``)."""

from __future__ import annotations

import os
import pickle
import sys
import threading

import torch

from convergence.models.load import trajectories
from convergence.system.memory import keep_memory
from convergence.system.process import showing_progress
from convergence.system.threads import at_most


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Train one seed of a recipe, and end at once if nobody waits for it any more."""
    keep_memory()
    at_most(1)
    config, dataset, folder, shown = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with showing_progress(shown):
            trajectories(config, dataset, folder=folder, device=torch.device("cpu"))
    except (Exception, KeyboardInterrupt):
        os._exit(1)  # whoever waits meets the same, and says it
    os._exit(0)  # not waiting for the thread that reads


if __name__ == "__main__":
    main()
