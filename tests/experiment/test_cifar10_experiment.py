"""The figure on CIFAR-10: stated by one command, read from images in folders, refused clearly where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from convergence.commands import main as cli
from convergence.experiment.compose import compose
from convergence.figures import figure1
from convergence.results import table as results
from convergence.system import torchvision_ops
from tests.support import drafts

SMALL = [
    "dataset.stimuli=40",
    "dataset.train_images=32",
    "dataset.conditions=[colour,false-colour]",
    "model.training.epochs=1",
    "model.training.batch_size=16",
    "model.training.early_checkpoints=1",
    "model.seeds.init=[0,1]",
    "model.layers=[conv1,layer3.2.conv2,linear]",
    "metric.folds=2",
    "metric.names=[procrustes,soft_matching]",
    "progress=false",
]


def image_folder(root: Path) -> Path:
    """``root/{train,test}/<class>/*.png``: noise of 32 × 32, 20 images of each of two classes and splits."""
    noise = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(20):
                Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return root


def test_it_states_three_seeds_trained_on_all_images_for_ten_epochs() -> None:
    config = compose(["+experiment=cifar10"])
    assert (config.model.name, config.dataset.name) == ("cifar_resnet20", "cifar10")
    assert config.model.seeds.init == [0, 1, 2]
    assert (config.model.training.epochs, config.dataset.train_images) == (10, None)


def test_three_axes_run_on_a_folder_of_images_and_make_the_composed_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, output = image_folder(tmp_path / "images"), tmp_path / "outputs"
    words = ["run", "+experiment=cifar10", f"dataset.root={root}", f"output={output}", "figures=false", *SMALL]
    assert cli.main(words) == 0
    for axis in figure1.AXES:
        (found,) = (output / axis).glob("*/results.parquet")
        rows = pd.read_parquet(found)
        assert set(rows.axis) == {axis}
        assert set(rows.dataset) == {"cifar10"}
    drafts.only(monkeypatch, dpi=100)  # its files are another test
    (drawn,) = figure1.draw(results.read([output]), tmp_path)
    assert drawn.stat().st_size > 10_000


def test_without_the_data_set_and_a_network_it_says_so_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torchvision_ops.ensure()
    datasets = pytest.importorskip("torchvision.datasets")

    def refuse(root: Path, train: bool, download: bool) -> None:
        raise OSError("no network") if download else RuntimeError("not found")

    monkeypatch.setattr(datasets, "CIFAR10", refuse)
    command = ["run", "+experiment=cifar10", f"dataset.root={tmp_path}", f"output={tmp_path}/outputs", "progress=false"]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "downloading it failed (no network)" in said
    assert "dataset.root=PATH" in said
    assert "Traceback" not in said
