"""The experiments that state the paper's figure: one command, three axes, one composed figure at the end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import SubFigure

from convergence.commands import main as cli
from convergence.experiment.compose import compose
from convergence.figures import figure1, style
from convergence.results import table as results
from tests.support import drafts

SMALL = [
    "dataset.size=16",
    "dataset.stimuli=40",
    "dataset.train_images=64",
    "dataset.conditions=[colour,false-colour,power-equalisation]",
    "model.layers=[conv1,layer2.conv1,layer3.conv2,fc]",
    "model.training.epochs=1",
    "model.training.early_checkpoints=1",
    "model.seeds.init=[0,1]",
    "metric.folds=2",
    "metric.names=[procrustes,soft_matching]",
    "progress=false",
]


@pytest.fixture(scope="module", autouse=True)
def _drafts() -> Iterator[None]:
    """The figures of each axis are not saved: theirs are other tests."""
    with pytest.MonkeyPatch.context() as patch:
        drafts.left_out(patch, "figure1")
        yield


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("figure1")
    assert cli.main(["run", "+experiment=figure1", f"output={place}", *SMALL]) == 0
    return place


def test_one_command_runs_three_axes_and_draws_the_composed_figure(outputs: Path) -> None:
    for axis in figure1.AXES:
        (found,) = (outputs / axis).glob("*/results.parquet")
        assert set(pd.read_parquet(found).axis) == {axis}
    for kind in ("png", "pdf"):
        assert (outputs / "figure1" / f"figure1.{kind}").stat().st_size > 10_000


def test_the_figure_command_composes_it_from_the_results_of_three_runs(outputs: Path, tmp_path: Path) -> None:
    drawn = outputs / "figure1.png"
    assert not drawn.exists()
    assert cli.main(["figure", *(str(outputs / axis) for axis in figure1.AXES)]) == 0
    assert drawn.read_bytes() == (outputs / "figure1" / "figure1.png").read_bytes()


PANELS = {"A": "depth", "B": "depth", "C": "training", "D": "ood", "E": "ood"}


@pytest.mark.parametrize("runs", [axes for n in (1, 2, 3) for axes in combinations(figure1.AXES, n)], ids=" ".join)
def test_a_panel_whose_axis_was_not_run_says_so(
    runs: tuple[str, ...], outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(style, "save", lambda figure, folder, name: drawn.append(figure) or [])
    figure1.draw(results.read([outputs / axis for axis in runs]), tmp_path)
    leaves = [part for part in drawn[0].findobj(SubFigure) if not part.subfigs]
    panels = {part.get_suptitle(): part for part in leaves if part.get_suptitle()}
    said = {name: [text.get_text() for text in panel.texts] for name, panel in panels.items()}
    empty = {name: f"no rows of axis={axis}" for name, axis in PANELS.items() if axis not in runs}
    assert {name: sentence for name, texts in said.items() for sentence in texts if "no rows" in sentence} == empty
    assert {name for name, panel in panels.items() if panel.axes} == PANELS.keys() - empty.keys()


def test_the_experiment_on_imagenet_states_its_images_and_networks() -> None:
    config = compose(["+experiment=figure1_imagenet", "dataset.root=/somewhere"])
    assert (config.model.name, config.dataset.name) == ("resnet50", "imagenet")
    assert config.dataset.shifts.value == "model_vs_human"
