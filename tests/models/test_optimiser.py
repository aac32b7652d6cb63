"""Our optimiser against PyTorch's classes: the same weights to the last bit, also after a pause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convergence.models.optimiser import Optimiser
from convergence.models.options import Optimizer, TrainingConfig

RATES = [0.01 * (step + 1) for step in range(12)]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 5))


def losses(model: nn.Module) -> Iterator[Tensor]:
    draws = torch.Generator().manual_seed(1)
    for _ in RATES:
        images = torch.randn(8, 3, 8, 8, generator=draws)
        yield nn.functional.cross_entropy(model(images), torch.randint(5, (8,), generator=draws))


def reference(config: TrainingConfig) -> dict[str, Tensor]:
    model = net()
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    theirs: torch.optim.Optimizer = torch.optim.SGD(
        groups, lr=1.0, momentum=config.momentum, nesterov=config.momentum > 0
    )
    if config.optimizer is Optimizer.adamw:
        theirs = torch.optim.AdamW(groups, lr=1.0, betas=(config.momentum, 0.999))
    for rate, loss in zip(RATES, losses(model), strict=True):
        for group in theirs.param_groups:
            group["lr"] = rate
        theirs.zero_grad()
        loss.backward()
        theirs.step()
    return model.state_dict()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", Optimizer)
def test_weights_are_those_of_pytorchs_class(kind: Optimizer, momentum: float) -> None:
    config = replace(TrainingConfig(), optimizer=kind, momentum=momentum, weight_decay=0.01)
    model = net()
    optimiser = Optimiser(model, config)
    for step, (rate, loss) in enumerate(zip(RATES, losses(model), strict=True)):
        optimiser.forget()
        loss.backward()
        optimiser.step(rate)
        if step == 5:  # a pause
            kept = optimiser.state_dict()
            optimiser = Optimiser(model, config)
            optimiser.load_state_dict(kept)
    for name, weights in reference(config).items():
        assert torch.equal(model.state_dict()[name], weights), name


def test_a_parameter_that_no_output_depends_on_stays() -> None:
    model = net()
    unused = nn.Parameter(torch.ones(2, 2))
    model.register_parameter("unused", unused)
    optimiser = Optimiser(model, replace(TrainingConfig(), weight_decay=0.1))
    for rate, loss in zip(RATES, losses(model), strict=True):
        optimiser.forget()
        loss.backward()
        optimiser.step(rate)
    assert torch.equal(unused, torch.ones(2, 2))


@pytest.mark.parametrize("state", [{9: [None]}, {"param_groups": []}, {0: [None, None]}])
def test_a_state_of_another_network_is_refused(state: Any) -> None:
    with pytest.raises(ValueError, match="of another network or optimiser"):
        Optimiser(nn.Linear(2, 2), replace(TrainingConfig(), optimizer=Optimizer.sgd)).load_state_dict(state)
