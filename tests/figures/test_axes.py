"""What stands on the figures: no titles, layers by name where they are few, points of training as a colour bar."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.text import Text

from convergence import figures
from convergence.figures import figure1, style
from tests.support import synthetic


def depth(**options: Any) -> pd.DataFrame:
    return synthetic.depth(lambda metric, a, b: 0.8 - abs(a - b) / 2, **{"seeds": 2, "layers": 3, **options})


def training() -> pd.DataFrame:
    return synthetic.training((0.1, 0.5, 0.6, 0.7, 0.8), (0.1, 0.3, 0.5, 0.7, 0.8), seeds=2)


def ood() -> pd.DataFrame:
    return synthetic.ood(lambda s, k, a: 0.1 * a, lambda s, k: 0.9 - 0.1 * s / 8, layers=3)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Each figure by its name, laid out, in place of its files."""
    found: dict[str, Any] = {}

    def keep(figure: Any, folder: Path, name: str) -> list[Path]:
        figure.draw_without_rendering()
        found[name] = figure
        return []

    monkeypatch.setattr(style, "save", keep)
    return found


def ticks(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


@pytest.mark.parametrize("rows", [depth, training, ood], ids=["depth", "training", "ood"])
def test_figures_have_no_titles(rows: Callable[[], pd.DataFrame], drawn: dict[str, Any], tmp_path: Path) -> None:
    figures.draw(rows(), tmp_path)
    figure1.draw(rows(), tmp_path)
    assert len(drawn) > 2
    titled = {name: axes.get_title(loc) for name, f in drawn.items() for axes in f.axes for loc in ("left", "center")}
    assert set(titled.values()) == {""}


@pytest.mark.parametrize(("layers", "named"), [(2, True), (24, True), (25, False)])
def test_up_to_24_layers_stand_on_the_axis_by_name_and_none_over_another(
    layers: int, named: bool, drawn: dict[str, Any], tmp_path: Path
) -> None:
    figures.draw(depth(layers=layers, metrics=("procrustes",)), tmp_path)
    axes = drawn["depth_profile"].axes[-1]
    assert ("net0" in ticks(axes)) == named
    if named:
        assert ticks(axes) == [f"net{i}" for i in range(layers)]
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(not a.overlaps(b) for a, b in pairwise(boxes))


def test_across_architectures_the_axis_of_depth_has_numbers(drawn: dict[str, Any], tmp_path: Path) -> None:
    figures.draw(depth(models=("net", "vgg")), tmp_path)
    assert drawn["depth_profile"].axes[-1].get_xlabel() == style.DEPTH
    assert drawn["ladder"].axes[-1].get_xlabel() == style.DEPTH


@pytest.mark.parametrize("rows", [depth, ood], ids=["depth", "ood"])
def test_a_layer_may_be_named_as_two_would_be_and_keeps_its_place_on_the_axis(
    rows: Callable[[], pd.DataFrame], drawn: dict[str, Any], tmp_path: Path
) -> None:
    odd = rows().replace({"net1": "a × b"})
    figures.draw(odd, tmp_path)
    for name in {"depth_profile", "ladder", "ood_profile", "ood_correlation"} & set(drawn):
        assert ticks(drawn[name].axes[-1]) == ["net0", "a × b", "net2"], name


def test_points_of_training_are_told_by_a_colour_bar(drawn: dict[str, Any], tmp_path: Path) -> None:
    figures.draw(training(), tmp_path)
    (bar,) = [axes for axes in drawn["training_profile"].axes if axes.get_ylabel() == "training (epochs)"]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0", "0.5", "1", "4", "10"]


def test_what_is_said_of_three_shifts_lies_on_no_line_and_no_axis(drawn: dict[str, Any], tmp_path: Path) -> None:
    three = {"edge": ("1",), "silhouette": ("1",), "cue-conflict": ("1",)}
    rows = synthetic.ood(
        lambda s, k, a: 0.79, lambda s, k: 0.5, layers=30, protocols=("refit", "transfer"), shifts=three
    )
    figures.draw(rows, tmp_path)
    for axes in drawn["ood_profile"].axes:
        (said,) = [text for text in texts(axes) if "exceeds its null" in text.get_text()]
        assert not said.get_window_extent().overlaps(axes.bbox), "beside the panel, whose lines may be anywhere"
    (axes,) = drawn["ood_correlation"].axes
    (said,) = [text for text in texts(axes) if "too few" in text.get_text()]
    box = said.get_window_extent()
    assert axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1
    assert not axes.lines, "no line of zero behind the words"


def texts(axes: Any) -> list[Text]:
    return axes.findobj(Text)


@pytest.mark.skipif(shutil.which("pdffonts") is None, reason="needs pdffonts (poppler-utils)")
def test_fonts_are_embedded_in_the_pdf_as_outlines(tmp_path: Path) -> None:
    figures.draw(depth(layers=2, metrics=("procrustes",)), tmp_path)
    told = subprocess.run(["pdffonts", tmp_path / "depth_profile.pdf"], capture_output=True, text=True, check=True)
    fonts = told.stdout.splitlines()[2:]
    assert fonts
    assert all("TrueType" in line and " yes " in line for line in fonts)
