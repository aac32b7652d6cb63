"""What Hydra calls before and after a sweep (``hydra.callbacks`` in ``conf/``)."""

from __future__ import annotations

import logging
from itertools import product
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from convergence.experiment import cluster

_log = logging.getLogger("convergence")


class Prepare(Callback):
    """Looks at a sweep before it is launched (``hydra.callbacks`` in ``conf/config.yaml``)."""

    def on_multirun_start(self, config: Any, **_: Any) -> None:
        """Let a sweep on SLURM wait for all of its jobs, however they end."""
        if str(config.hydra.launcher.get("_target_")).endswith(".SlurmLauncher"):
            cluster.prepare()


class AtTheEnd(Callback):
    """Draws the figure when the sweep over the axes is done: ``hydra.callbacks`` of an experiment names it."""

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        from hydra import compose
        from omegaconf import OmegaConf

        # Not above: Hydra loads this file for every command, `run --help` too, which needs neither tables nor figures.
        from convergence.experiment.folder import run_folder
        from convergence.figures import figure1
        from convergence.results import table
        from convergence.results.groups import comparable

        made: list[Any] = [OmegaConf.to_object(compose("config", job)) for job in _jobs(config.hydra)]
        folders = [folder for cfg in made if (folder := run_folder(cfg) / table.RESULTS).is_file()]
        if folders and made[0].figures:
            rows, place = table.read(folders), Path(made[0].output) / "figure1"
            for name, part in comparable(rows, ("dataset", "models")).items():
                for path in figure1.draw(part, place / name):
                    _log.info("figure   %s", path)


def _jobs(hydra: Any) -> list[list[str]]:
    """The words of each job of the sweep: one of the values of each option that has several."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    words = {name: f"{name}={value}" for name, value in hydra.sweeper.params.items()}
    words |= {word.split("=")[0]: word for word in hydra.overrides.task}
    values = []
    for option in OverridesParser.create().parse_overrides(list(words.values())):
        name = option.get_key_element()
        found = option.sweep_string_iterator() if option.is_sweep_override() else [option.get_value_element_as_str()]
        values.append([f"{name}={value}" for value in found])
    return [list(job) for job in product(*values)]
