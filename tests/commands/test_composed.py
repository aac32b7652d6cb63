"""What Hydra makes of a command's words: the same whether or not it composes the config a first time for the mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from convergence.commands import words
from convergence.experiment.compose import conf_folder, register
from convergence.system.process import arguments_of_hydra

SWEEPING = "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,2\n"
# Words, and how many jobs they make.
COMMANDS: dict[str, tuple[list[str], int]] = {
    "none": ([], 1),
    "options": (
        [
            *("model=module", "model.factory=nets.py:Net", "model.layers=[conv1,fc]", "model.arguments={width: 3}"),
            *("dataset=image_folder", "dataset.root=a,b", "dataset.stimuli=50", "axis=ood", "null=rotation"),
        ],
        1,
    ),
    "a second model": (["model@against=tiny_vgg", "against.seeds.init=[3]", "metric=procrustes"], 1),
    "a population and no second model": (["model=[tiny_vgg,tiny_resnet]", "model@against=null"], 1),
    "Hydra's folders": (["hydra.run.dir=there", "hydra.job.name=mine"], 1),
    "Hydra's mode": (["hydra.mode=MULTIRUN", "metric.seed=1,2"], 2),
    "Hydra's sweeper": (["++hydra={mode: MULTIRUN, sweeper: {params: {metric.seed: '1,2'}}}"], 2),
    "an experiment": (["+experiment=figure1"], 3),
    "an experiment in its place": (["+experiment@_global_=figure1"], 3),
    "an experiment that runs once": (["+experiment=figure1", "hydra.mode=RUN", "axis=depth"], 1),
    "a sweep": (["--multirun", "metric=procrustes,linear"], 2),
    "a folder of one's own": (["--config-dir", "mine", "metric=own"], 1),
    "a group that sweeps": (["--config-dir", "mine", "+study=seeds"], 2),
}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in {
        "metric/own.yaml": "defaults:\n  - procrustes\nfolds: 3\n",
        "study/seeds.yaml": "# @package _global_\ndefaults:\n  - override /metric: procrustes\n"
        + SWEEPING.replace("seed", "metric.seed"),
    }.items():
        path = tmp_path / "mine" / file
        path.parent.mkdir(parents=True)
        path.write_text(text)


class Seen:
    """The jobs that Hydra calls a task for: the config, and Hydra's own."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, Any]] = []

    def __call__(self, cfg: Any) -> None:
        self.jobs.append((OmegaConf.to_container(cfg), OmegaConf.to_container(HydraConfig.get())))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_composed_as_hydra_composes_it_by_itself(name: str) -> None:
    command, jobs = COMMANDS[name]
    made, by_itself = Seen(), Seen()
    words.call(command, made)
    register()
    flags, overrides = words.for_hydra(command)
    with arguments_of_hydra(["convergence run", *flags, *overrides]):
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(by_itself)()
    assert len(made.jobs) == jobs
    assert made.jobs == by_itself.jobs


@pytest.mark.parametrize(("name", "times"), [("options", 1), ("a second model", 1), ("Hydra's folders", 2)])
def test_the_config_is_composed_once_where_no_word_can_ask_for_a_sweep(
    name: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose, seen = Hydra.compose_config, []

    def counted(self: Hydra, *args: Any, **kwargs: Any) -> Any:
        seen.append(self)
        return compose(self, *args, **kwargs)

    monkeypatch.setattr(Hydra, "compose_config", counted)
    words.call(COMMANDS[name][0], Seen())
    assert len(seen) == times
