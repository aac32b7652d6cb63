"""A small network with other than initial weights, and its weights as files hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence.models import load as models
from convergence.models import recipes
from convergence.models.network import Network
from convergence.models.options import RecipeConfig
from convergence.stimuli.options import ShapesConfig

State = dict[str, Any]
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def trained(seed: int = 3, name: str = "tiny_resnet", classes: int = 10) -> nn.Module:
    """A network whose running statistics, scales and biases are other than initial ones."""
    model = recipes.build(name, classes, seed)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        model.train()(IMAGES)
    return model.eval()


NET, OTHER = trained(3), trained(4)
STATE: State = dict(NET.state_dict())


def given(path: Path | str, **options: Any) -> Network:
    config = RecipeConfig(name="tiny_resnet", checkpoints=[str(path)], **options)
    dataset = ShapesConfig(size=16, stimuli=16)
    return models.trajectories(config, dataset, folder=Path("unused"), device=torch.device("cpu"))[0][-1]


def under(prefix: str, state: State = STATE) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def without(*parts: str, state: State = STATE) -> State:
    return {name: value for name, value in state.items() if not name.startswith(parts)}


def outputs(network: Network) -> Tensor:
    with torch.inference_mode():
        answer: Tensor = network.build()(IMAGES)
    return answer


def expected(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        answer: Tensor = model(IMAGES)
    return answer
