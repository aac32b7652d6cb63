"""The CIFAR ResNets of He et al. 2015: their sizes, their names, and files that people have of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from convergence.models import load as models
from convergence.models import recipes
from convergence.models.options import RecipeConfig
from convergence.stimuli.options import ShapesConfig

DATA = Path(os.environ.get("CONVERGENCE_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_they_have_as_many_parameters_as_the_paper_says(depth: int, millions: float) -> None:
    model = recipes.build(f"cifar_resnet{depth}", 10, 0)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    assert sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in model.modules()) == depth
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", [*(f"resnet20-{i}.th" for i in range(1, 6)), "resnet56.th"])
def test_files_of_the_common_implementation_load(name: str, tmp_path: Path) -> None:
    path = DATA / "cifar10_resnets" / name
    if not path.is_file():
        pytest.skip("../shared/data is not here")
    depth = name.removeprefix("resnet")[:2]
    config = RecipeConfig(name=f"cifar_resnet{depth}", checkpoints=[str(path)])
    ((network,),) = models.trajectories(config, ShapesConfig(stimuli=20), folder=tmp_path, device=torch.device("cpu"))
    saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    built = network.build().state_dict()
    assert all(torch.equal(built[key.removeprefix("module.")], value) for key, value in saved.items())
    assert not network.is_untrained
