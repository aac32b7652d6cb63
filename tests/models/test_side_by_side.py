"""Seeds of a recipe trained side by side are those that are trained one after the other."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from convergence.experiment.compose import compose
from convergence.models import load as models
from convergence.system import cores
from convergence.system.errors import UserError
from convergence.system.process import showing_progress

CPU = torch.device("cpu")
WORDS = ["model=tiny_vgg", "dataset=digits", "dataset.train_images=102", "model.training.batch_size=1"]  # long enough
WORDS += ["model.training.epochs=1", "model.training.early_checkpoints=0", "model.seeds.init=[0,1]"]


def trained(folder: Path, *words: str) -> list[list[str]]:
    cfg = compose([*WORDS, *words])
    with showing_progress(False):
        runs = models.trajectories(cfg.model, cfg.dataset, folder=folder, device=CPU)
    return [[network.weights_hash for network in run] for run in runs]


def test_the_weights_are_the_same_on_one_core_and_on_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, started = {}, []
    begin = subprocess.Popen

    def noted(*words: Any, **options: Any) -> Any:
        started.append(words)
        return begin(*words, **options)

    monkeypatch.setattr(subprocess, "Popen", noted)
    threads = torch.get_num_threads()
    for count in (1, 2):
        monkeypatch.setattr(cores, "available", lambda count=count: count)
        torch.set_num_threads(3 - count)  # of this process
        found[count] = trained(tmp_path / str(count))
        assert bool(started) == (count == 2), "processes of their own where there are cores for them"
    torch.set_num_threads(threads)
    assert found[1] == found[2]
    assert found[1][0] != found[1][1]


def test_two_recipes_that_are_compared_are_trained_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "available", lambda: 2)
    started = []
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **how: started.append(words) or begin(*words, **how))
    one = ["model@against=tiny_resnet", "model.seeds.init=[0]", "against.seeds.init=[1]"]
    as_long = [f"against.training.{word.split('training.')[1]}" for word in WORDS if "model.training" in word]
    cfg = compose([*WORDS, *one, *as_long])
    with showing_progress(False):
        sides = models.of_sides(cfg.sides, cfg.dataset, folder=tmp_path, device=CPU)
    assert [[run[-1].model for run in side] for side in sides] == [["tiny_vgg"], ["tiny_resnet"]]
    assert len(started) == 2


def test_a_training_that_diverges_is_told_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: 2)
    before = threading.active_count()
    with pytest.raises(UserError, match=r"training tiny_vgg seed0 diverged at step"):
        trained(tmp_path, "model.training.learning_rate=1e20")
    assert threading.active_count() <= before
    assert "convergence.models.train_one" not in sys.modules
