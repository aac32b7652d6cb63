"""Presets for published self-supervised ResNet-50s, on stand-in files of their layouts, random weights in them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convergence.experiment.compose import compose
from convergence.models import load as models
from convergence.system import torchvision_ops

State = dict[str, Any]


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    torchvision_ops.ensure()
    from torchvision.models import resnet50

    torch.manual_seed(0)
    model: nn.Module = resnet50()
    with torch.no_grad():
        for name, value in model.named_buffers():
            if "running" in name:
                value.uniform_(0.5, 1.5)
    return model.eval()


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def linear(name: str, outputs: int, inputs: int) -> State:
    return {f"{name}.weight": torch.rand(outputs, inputs), f"{name}.bias": torch.rand(outputs)}


def moco(head: State) -> Callable[[State], State]:
    def made(backbone: State) -> State:
        other = {name: torch.zeros_like(value) for name, value in backbone.items()}
        state = under("module.encoder_q.", backbone | head) | under("module.encoder_k.", other | head)
        queue = {"module.queue": torch.rand(128, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
        return {"epoch": 200, "arch": "resnet50", "state_dict": state | queue, "optimizer": {"state": {}}}

    return made


def projector(name: str) -> State:
    return {f"{name}.0.weight": torch.rand(8, 2048), f"{name}.1.running_mean": torch.rand(8)}


def dino(backbone: State) -> State:
    student = {name: torch.zeros_like(value) for name, value in backbone.items()}
    head = linear("head.mlp.0", 8, 2048) | {"head.last_layer.weight_g": torch.rand(4, 1)}
    head |= {"head.last_layer.weight_v": torch.rand(4, 8)}
    teacher = under("backbone.", backbone) | head
    return {"student": under("module.backbone.", student) | under("module.", head), "teacher": teacher, "epoch": 800}


# By preset: the words beside it, and the file.
LAYOUTS: dict[str, tuple[str, list[str], Callable[[State], State]]] = {
    "MoCo v1": ("moco_resnet50", [], moco(linear("fc", 128, 2048))),
    "MoCo v2": ("moco_resnet50", [], moco(linear("fc.0", 2048, 2048) | linear("fc.2", 128, 2048))),
    "DINO's backbone": ("dino_resnet50", [], dict),
    "DINO's full checkpoint": ("dino_resnet50", ["model.weights_key=teacher"], dino),
    "SwAV": (
        "swav_resnet50",
        [],
        lambda b: under("module.", b | projector("projection_head") | {"prototypes.weight": torch.rand(30, 128)}),
    ),
    "VICReg's full checkpoint": (
        "vicreg_resnet50",
        [],
        lambda b: {"epoch": 99, "model": under("module.backbone.", b) | under("module.", projector("projector"))},
    ),
    "Barlow Twins' full checkpoint": (
        "barlow_twins_resnet50",
        [],
        lambda b: {
            "epoch": 999,
            "model": under("module.backbone.", b)
            | under("module.", projector("projector") | {"bn.running_mean": torch.rand(8)}),
            "optimizer": {"state": {0: {"mu": torch.rand(8)}}},
        },
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_preset_reads_the_published_layout(
    layout: str,
    encoder: nn.Module,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    caplog.set_level(logging.INFO)
    preset, words, made = LAYOUTS[layout]
    backbone = {name: value for name, value in encoder.state_dict().items() if not name.startswith("fc.")}
    torch.save(made(backbone), tmp_path / "a.pth")
    config = compose([f"model={preset}", f"model.checkpoints={tmp_path / 'a.pth'}", "model.image_size=32", *words])
    ((network,),) = models.trajectories(config.model, config.dataset, folder=tmp_path, device=torch.device("cpu"))
    built = network.build().state_dict()
    assert all(torch.equal(built[name], value) for name, value in backbone.items())
    assert next(iter(network.layers)) == "conv1"
    assert "fc" not in network.layers
    assert "there are no weights that fit fc" in caplog.text
