"""Networks that people have trained, on images that people have: by the recipe, and by a file of one's own."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergence import run
from convergence.experiment.compose import compose

DATA = Path(os.environ.get("CONVERGENCE_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
COUNT = 40  # images of each of the ten classes
# He et al. 2015, section 4.2, as somebody would write it down.
NETS = """\
import torch.nn.functional as F
from torch import nn

class Shrink(nn.Module):
    def forward(self, x):
        new = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, new, new))

class Block(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        stride = 1 if a == b else 2
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.short = nn.Identity() if a == b else Shrink()

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + self.short(x)).relu()

class ResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(n)))
        self.layer2 = nn.Sequential(Block(16, 32), *(Block(32, 32) for _ in range(n - 1)))
        self.layer3 = nn.Sequential(Block(32, 64), *(Block(64, 64) for _ in range(n - 1)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu())))
        return self.linear(x.mean((2, 3)))

def resnet20():
    return ResNet(3)
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first test images of each class."""
    packed = DATA / "cifar10_jpeg.tar.xz"
    if not packed.is_file():
        pytest.skip("../shared/data is not here")
    root = tmp_path_factory.mktemp("cifar")
    with tarfile.open(packed) as archive:
        for member in archive:
            split, _, name = member.name.removeprefix("./").partition("/")
            if split == "train":
                break  # the rest is of no concern here
            if member.isfile() and int(Path(name).stem) < COUNT:
                archive.extract(member, root, filter="data")
    return root


def scores(images: Path, output: Path, *words: str) -> pd.DataFrame:
    files = ",".join(str(DATA / "cifar10_resnets" / f"resnet20-{i}.th") for i in (1, 2))
    layers = "model.layers=[conv1,layer1.2.conv2,layer2.1.conv2,linear]"
    options = [f"model.checkpoints=[{files}]", layers, "axis.pairs=matched", "axis.untrained=false"]
    options += ["dataset=image_folder", f"dataset.root={images}", "metric.names=[linear,procrustes,permutation]"]
    return run(compose([*words, *options, f"output={output}", "progress=false"]))


def test_the_recipe_and_a_file_of_ones_own_give_the_same_scores(images: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    recipe = scores(images, tmp_path / "a", "model=cifar_resnet20")
    own = scores(images, tmp_path / "b", "model=module", f"model.factory={tmp_path}/nets.py:resnet20")
    assert np.allclose(recipe.score, own.score, atol=1e-4)
    assert list(recipe.source_layer) == list(own.source_layer)
    assert (recipe.source_accuracy.between(0.75, 0.9) & own.source_accuracy.between(0.75, 0.9)).all()
    means = recipe.groupby(["source_layer", "metric"], observed=True).score.mean().unstack()
    assert (means.procrustes > means.permutation).all()
    # What this pair scores on 2,000 images.
    assert means.procrustes[["conv1", "linear"]].tolist() == pytest.approx([0.950, 0.897], abs=0.03)
    assert means.permutation[["conv1", "linear"]].tolist() == pytest.approx([0.720, 0.895], abs=0.03)
