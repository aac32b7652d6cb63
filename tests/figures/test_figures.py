"""The figures: what they show follows from the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convergence import figures
from convergence.figures import depth, style
from convergence.figures.summary import summary
from convergence.results import table as results
from convergence.results import views as tables
from tests.support import drafts, synthetic
from tests.support.tables import table


def test_both_figures_are_drawn_as_pdf_and_png_and_again_to_the_same_bytes(tmp_path: Path) -> None:
    rows = table(3)
    paths = figures.draw(rows, tmp_path)
    assert sorted(p.name for p in paths) == [
        f"depth_{what}.{kind}" for what in ("heatmaps", "profile") for kind in ("pdf", "png")
    ]
    first = [p.read_bytes() for p in paths]
    assert [p.read_bytes() for p in figures.draw(rows, tmp_path)] == first


@pytest.mark.parametrize("rows", [table(), table(widths=(5, 3), models=("a", "b"))], ids=["two seeds", "across"])
def test_both_figures_are_drawn_of_one_pair_and_across_architectures(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.only(monkeypatch)
    assert {p.name for p in figures.draw(rows, tmp_path)} == {"depth_heatmaps.png", "depth_profile.png"}


def with_chance(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with τ = 0.3 of 99 rotations, p = 0.02 for each pair, metric and direction; and draws."""
    kept = rows[rows.fold == 0].assign(null="rotation", fold=None, draws=99, p_value=0.02, p_value_max=0.03)
    kept = kept.assign(null_quantile=0.3, score_calibrated=0.5)
    draws = kept.assign(draw=0, draws=None, score=-1.0, p_value=None, null_quantile=None, score_calibrated=None)
    return results.conform(pd.concat([rows, kept, draws])).to_pandas()


def test_rows_of_chance_add_a_line_to_the_profile_and_change_no_other_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.only(monkeypatch)
    plain, whole = table(), with_chance(table())
    pd.testing.assert_frame_equal(tables.observed(whole), plain, check_dtype=False)
    taus = depth.thresholds(tables.chance(whole))
    assert (taus.null_quantile == 0.3).all()
    assert set(taus.metric) == {"procrustes", "soft_matching"}
    first = {p.name: p.read_bytes() for p in figures.draw(plain, tmp_path)}
    again = {p.name: p.read_bytes() for p in figures.draw(whole, tmp_path)}
    assert {name for name in first if first[name] != again[name]} == {"depth_profile.png"}
    text = summary(whole)
    assert text.startswith(summary(plain).rstrip())
    assert "beyond chance: rotation, 99 draws" in text
    assert "0.500, p 0.020" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_profile_is_the_mean_of_corresponding_layers_of_trained_pairs() -> None:
    trained, before = tables.split(table())
    means, over = depth.profile(trained)
    assert over == "folds"
    assert means[means.metric == "procrustes"]["mean"].to_numpy() == pytest.approx(np.full(5, 0.905))
    assert depth.profile(before)[0]["mean"].max() < 0.71
    assert depth.profile(tables.split(table(3))[0])[1] == "3 pairs of networks"


def test_across_architectures_layers_correspond_by_relative_depth() -> None:
    rows = tables.corresponding(table(widths=(5, 3), models=("a", "b")))
    gap = (rows.source_depth - rows.target_depth).abs()
    assert gap.max() <= 0.25
    assert set(rows[rows.direction == "x->y"].source_layer) == {f"layer{i}" for i in range(5)}


def test_the_grid_is_in_forward_order_with_its_maxima_on_the_diagonal() -> None:
    cells = depth.grid(tables.split(table())[0], "procrustes")
    assert list(cells.index) == list(cells.columns) == [f"layer{i}" for i in range(5)]
    assert (cells.to_numpy().argmax(axis=0) == np.arange(5)).all()


def test_the_summary_names_first_middle_and_last_layers_within_80_columns() -> None:
    text = summary(table())
    assert "procrustes, untrained" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_summary_names_the_accuracy_of_every_network() -> None:
    rows = table(5).assign(source_accuracy=lambda t: 0.5 + t.source_seed / 100)
    told = " ".join(summary(rows).split("accuracy: ")[1].split())
    assert told == ", ".join(f"seed{i} 5{i}.0%" for i in range(5))
    across = table(models=("a", "b")).assign(source_accuracy=lambda t: np.where(t.source_model == "a", 0.5, 0.6))
    assert "a/seed0 50.0%, b/seed1 60.0%" in summary(across)


@pytest.mark.parametrize("parts", [(), ("two seeds: no interval",), ("band: 95 % over resampled seeds", "cut at 9")])
def test_notes_stay_within_one_column(parts: tuple[str, ...]) -> None:
    rows = table(models=("vit_base_patch16_224.augreg_in21k_ft_in1k", "resnet18")).assign(dataset="fashion_mnist")
    with style.pyplot() as plt:
        figure = plt.figure(figsize=(style.COLUMN, 2))
        style.note(figure, rows, *parts)
        figure.draw_without_rendering()
        (label,) = [text for text in figure.texts if text.get_text()]
        extent = label.get_window_extent()
        assert label.get_text().endswith("M = 100, 2 folds")
        assert extent.x0 >= 0
        assert extent.x1 <= figure.bbox.width


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (table(3), "a seed0, seed1, seed2 on shapes"),
        (table(9), "9 × a on shapes"),
        (table(models=("a", "b")), "a seed0 and b seed1 on shapes"),
    ],
    ids=["few", "many", "across"],
)
def test_figures_say_which_networks_and_images_they_are_of(rows: pd.DataFrame, expected: str) -> None:
    assert tables.subject(rows.assign(dataset="shapes")) == expected


LONG = "vit_base_patch16_224.augreg_in21k_ft_in1k"


def _renamed(rows: pd.DataFrame, **names: str) -> pd.DataFrame:
    """With other names of layers: of each model, what stands before their number."""
    for end in ("source", "target"):
        begins = rows[f"{end}_model"].map(names)
        rows = rows.assign(**{f"{end}_layer": begins + rows[f"{end}_layer"].str.extract(r"(\d+)$")[0]})
    return rows


# Rows, and what stands below the table of them.
NAMED: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "one pair": (table, "first layer: layer0; middle: layer2; last layer: layer4."),
    "several pairs": (lambda: table(3), "first layer: layer0; middle: layer2; last layer: layer4."),
    "one layer alone": (
        lambda: table().query("source_layer == 'layer2' and target_layer == 'layer2'"),
        "first layer: layer2; middle: layer2; last layer: layer2.",
    ),
    "the same names": (lambda: table(models=("a", "b")), "first layer: layer0; middle: layer2; last layer: layer4."),
    "another depth": (
        lambda: table(widths=(5, 3), models=("a", "b")),
        "first layer: layer0; middle: layer2 of a, layer1 of b; last layer: layer4 of a, layer2 of b.",
    ),
    "other names": (
        lambda: _renamed(table(models=("a", "b")), a="conv", b="features."),
        "first layer: conv0 of a, features.0 of b; middle: conv2 of a, features.2 of b; last layer: conv4 of a, "
        "features.4 of b.",
    ),
    "long names": (
        lambda: _renamed(table(models=(LONG, "b")), **{LONG: "blocks.a_long_name_of_a_layer.mlp.fc", "b": "conv"}),
        f"first layer: …_long_name_of_a_layer.mlp.fc0 of {LONG}, conv0 of b;",
    ),
    "a metric of fewer layers": (
        lambda: table().query("metric != 'procrustes' or target_layer in ('layer0', 'layer1')"),
        "procrustes, first layer: layer0; middle: layer1; last layer: layer1. soft_matching, first layer: layer0; "
        "middle: layer2; last layer: layer4.",
    ),
    "training": (
        lambda: synthetic.training((0.2, 0.3, 0.5, 0.6, 0.7), (0.1, 0.2, 0.3, 0.4, 0.5)),
        "first layer: net0; last",
    ),
    "ood": (lambda: synthetic.ood(lambda *_: 0.1, lambda s, k: 0.1 * s), "first layer: net0; last layer: net5."),
    "chance": (lambda: with_chance(table()), "p 0.020 first layer: layer0; middle: layer2; last layer: layer4."),
}


@pytest.mark.parametrize("case", NAMED)
def test_below_each_table_stands_which_layers_its_columns_are_of(case: str) -> None:
    rows, expected = NAMED[case]
    text = summary(rows())
    assert expected in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_the_named_layers_are_those_of_the_numbers() -> None:
    rows = table(widths=(5, 3), models=("a", "b"))
    named = {("layer2", "layer1"), ("layer1", "layer2")}
    here = [ends in named for ends in zip(rows.source_layer, rows.target_layer, strict=True)]
    marked = rows.assign(score=rows.score.where(here, 0.0))
    line = next(line.split() for line in summary(marked).splitlines() if line.startswith("procrustes "))
    assert (line[1], line[3]) == ("0.000", "0.000")
    assert float(line[2]) > 0.4
