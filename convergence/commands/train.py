"""``convergence train``: trains the seeds of a recipe, as ``run`` does by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convergence.commands.words import call, debugging, typed
from convergence.system.errors import UserError
from convergence.system.process import showing_progress


def add(commands: Any) -> None:
    """Declare ``train``: its flags and overrides are Hydra's, ``--help`` too."""
    parser = commands.add_parser(
        "train", help="the seeds of a recipe (run does this by itself)", prefix_chars="\0", add_help=False
    )
    parser.add_argument("words", nargs="*")
    parser.set_defaults(call=lambda options: train(options.words))


def train(words: Sequence[str]) -> int:
    """Train what the words say; returns the exit status."""
    failed: list[UserError] = []

    def task(cfg: Any) -> None:
        try:
            _train(cfg)
        except UserError as error:  # Hydra would print a line of its own before it
            if debugging(words):
                raise
            failed.append(error)

    call(words, task)
    if failed:
        raise failed[0]
    return 0


def _train(cfg: Any) -> None:
    from convergence.models import load as models
    from convergence.models.options import is_trained_here
    from convergence.system.device import resolve_device
    from convergence.system.options import check

    made = typed(cfg)
    check(made)
    for side in filter(None, (made.model, made.against)):
        if not is_trained_here(side):
            raise UserError(
                f"{side.name} is not trained here: choose a recipe without model.checkpoints, or model.train=true."
            )
        place = Path(made.cache) / "networks"
        with showing_progress(made.progress):
            runs = models.trajectories(side, made.dataset, folder=place, device=resolve_device(made.device))
        for run in runs:
            print(f"{run[-1].model} {run[-1].weights}: {len(run)} checkpoints, {run[-1].step} steps")
