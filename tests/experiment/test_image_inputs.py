"""A finished run is done only as long as the images lie as they did, however they were named."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from convergence.experiment.compose import compose
from convergence.experiment.inputs import inputs

LAYOUTS = {
    "a split alone": ("root/train/a/1.png", ["dataset.root={}/root"]),
    "flat": ("root/1.png", ["dataset.root={}/root"]),
    "a table": ("pictures/1.png", ["dataset.table={}/t.csv"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_that_is_shown_is_an_input(layout: str, tmp_path: Path) -> None:
    place, words = LAYOUTS[layout]
    image = tmp_path / place
    image.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(image)
    (image.parent / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "t.csv").write_text("path,label\npictures/1.png,a\n")
    made = compose(["model=resnet18", "dataset=image_folder", *(word.format(tmp_path) for word in words)])
    before = inputs(made)
    assert inputs(made) == before
    Image.new("RGB", (9, 9)).save(image)
    assert inputs(made) != before
