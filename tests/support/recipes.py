"""A small recipe on few drawn images."""

from __future__ import annotations

from pathlib import Path

import torch

from convergence.models import load as models
from convergence.models.network import Network
from convergence.models.options import RecipeConfig, SeedsConfig, TrainingConfig
from convergence.stimuli.options import ShapesConfig

SMALL = ShapesConfig(size=16, stimuli=64, train_images=256)

# Words of a run that takes seconds.
SMALL_RUN = [
    "dataset=digits",
    "dataset.stimuli=200",
    "dataset.train_images=256",
    "model.training.epochs=1",
    "model.layers=[conv1,layer3.conv*,fc]",
]


def recipe(**options: object) -> RecipeConfig:
    training = TrainingConfig(epochs=2, batch_size=64, early_checkpoints=2, learning_rate=0.05)
    return RecipeConfig(name="tiny_resnet", seeds=SeedsConfig(init=[0]), training=training, **options)  # type: ignore[arg-type]


def trained(config: RecipeConfig, dataset: ShapesConfig, *, folder: Path, device: torch.device) -> list[Network]:
    return [run[-1] for run in models.trajectories(config, dataset, folder=folder, device=device)]
