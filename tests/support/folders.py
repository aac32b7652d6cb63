"""Small runs on a folder of drawn images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from convergence.experiment.compose import compose
from convergence.stimuli.load import load

NETWORKS = ("model=tiny_vgg", "model.training.epochs=0", "model.layers=[features.0,classifier]")
SCORES = ("metric=procrustes", "metric.folds=2", "axis=depth", "axis.pairs=matched", "axis.untrained=false")


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


def pictures(place: Path) -> Path:
    """Thirty images of two classes."""
    for i in range(30):
        picture(place / f"class{i % 2}" / f"{i}.png", i)
    return place


def words(images: Path | str, output: Path, *more: str) -> list[str]:
    data = ("dataset=image_folder", f"dataset.root={images}", "dataset.stimuli=4")
    return [*data, *NETWORKS, "model.seeds.init=[0,1]", *SCORES, f"output={output}", *more]


def used(images: Path, output: Path) -> Path:
    """One of the images that the run has seen."""
    stimuli = load(compose(words(images, output)).dataset, "test")
    return images / stimuli.ids[0]
