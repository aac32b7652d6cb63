"""Which of a run's checkpoints is untrained, where epochs are counted from 0 and where from 1."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from convergence.models import load as models
from convergence.models import recipes
from convergence.models.options import RecipeConfig
from convergence.stimuli.options import ShapesConfig


def save(path: Path, *, trained: bool, step: int | None = None) -> None:
    model = recipes.build("tiny_resnet", 10, 0)
    if trained:
        model.train()(torch.rand(4, 3, 16, 16))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": model.state_dict()} | ({} if step is None else {"global_step": step}), path)


def points(pattern: str, folder: Path, *, from_start: bool = False) -> list[tuple[int | None, float | None, bool]]:
    config = RecipeConfig(name="tiny_resnet", checkpoints=[str(folder / pattern)])
    dataset, device = ShapesConfig(size=16, stimuli=16), torch.device("cpu")
    (run,) = models.trajectories(config, dataset, folder=folder, device=device, from_start=from_start)
    return [(n.step, n.epoch, n.is_untrained) for n in run]


def test_a_step_says_that_epoch_0_is_the_first_one_done(tmp_path: Path) -> None:
    for epoch, step in ((0, 391), (1, 782)):
        save(tmp_path / f"epoch={epoch}-step={step}.ckpt", trained=True)
    assert points("epoch={epoch}-step={step}.ckpt", tmp_path) == [(391, 1.0, False), (782, 2.0, False)]


def test_a_step_inside_the_file_says_so_too(tmp_path: Path) -> None:
    save(tmp_path / "epoch_0.ckpt", trained=False, step=10)
    save(tmp_path / "epoch_1.ckpt", trained=False, step=20)
    assert points("epoch_{epoch}.ckpt", tmp_path) == [(None, 1.0, False), (None, 2.0, False)]


def test_weights_that_are_no_initial_ones_say_so_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    for epoch in (0, 1):
        save(tmp_path / f"epoch_{epoch}.pth", trained=True)
    assert points("epoch_{epoch}.pth", tmp_path) == [(None, 1.0, False), (None, 2.0, False)]
    assert "epochs are counted from 0 (epoch_0.pth" in caplog.text
    begun = points("epoch_{epoch}.pth", tmp_path, from_start=True)
    assert begun[0] == (0, 0.0, True)
    assert len(begun) == 3


def test_initial_weights_at_epoch_0_stay_the_untrained_network(tmp_path: Path) -> None:
    save(tmp_path / "epoch_0.pth", trained=False)
    save(tmp_path / "epoch_1.pth", trained=True)
    assert points("epoch_{epoch}.pth", tmp_path) == [(0, 0.0, True), (None, 1.0, False)]


def test_step_0_is_untrained_and_several_files_of_one_epoch_go_by_their_steps(tmp_path: Path) -> None:
    for epoch, step in ((0, 0), (0, 100), (0, 391), (1, 782)):
        save(tmp_path / f"epoch={epoch}-step={step}.ckpt", trained=step > 0)
    found = points("epoch={epoch}-step={step}.ckpt", tmp_path)
    assert [(step, untrained) for step, _, untrained in found] == [(0, True), (100, False), (391, False), (782, False)]
    assert [epoch for _, epoch, _ in found] == [0.0, None, None, None]


def test_runs_that_count_from_1_are_left_as_they_are(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save(tmp_path / f"epoch_{epoch}.pth", trained=True)
    assert points("epoch_{epoch}.pth", tmp_path) == [(None, 1.0, False), (None, 2.0, False)]


def test_where_nothing_tells_it_is_said_what_epoch_0_was_taken_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convergence.models.options import ModuleConfig

    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    (tmp_path / "plain.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU())\n"
    )
    for epoch in (0, 1):
        torch.save({"0.weight": torch.rand(4, 3, 3, 3)}, tmp_path / f"epoch_{epoch}.pth")
    config = ModuleConfig(factory=f"{tmp_path}/plain.py:net", checkpoints=[str(tmp_path / "epoch_{epoch}.pth")])
    (run,) = models.trajectories(config, ShapesConfig(size=16, stimuli=16), folder=tmp_path, device=torch.device("cpu"))
    assert [n.epoch for n in run] == [0.0, 1.0]
    assert "epoch 0 (epoch_0.pth) is taken for the network before training; nothing in it tells" in caplog.text
