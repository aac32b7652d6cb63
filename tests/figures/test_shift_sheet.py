"""Shifted pixels are made once for several networks, and a sheet shows them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from torch import Tensor

from convergence.commands.main import main
from convergence.figures import shifts as figure
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig
from convergence.stimuli.samples import Sample, samples
from convergence.stimuli.shifts import SHIFTS, paired, shifted
from convergence.stimuli.shifts.kept import Kept


def numbered(asked: list[list[int]]) -> object:
    def make(chosen: Tensor) -> Tensor:
        asked.append(chosen.tolist())
        return chosen.to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)

    return make


def test_pixels_are_made_once_and_in_the_order_that_is_asked_for() -> None:
    asked: list[list[int]] = []
    kept, make = Kept(10**6), numbered(asked)
    for chosen in ([3, 1], [1, 2, 2, 3], [0, 1, 2, 3]):
        pixels = kept.pixels("a", torch.tensor(chosen), 5, make)  # type: ignore[arg-type]
        assert pixels[:, 0, 0, 0].tolist() == chosen
    assert asked == [[3, 1], [2], [0]]


def test_only_the_last_lists_are_kept_and_none_that_is_too_large() -> None:
    asked: list[list[int]] = []
    kept, make = Kept(2 * 5 * 12), numbered(asked)  # two lists of five stimuli

    def touched(key: str, count: int = 5) -> bool:
        before = len(asked)
        kept.pixels(key, torch.tensor([0]), count, make)  # type: ignore[arg-type]
        return len(asked) > before

    assert [touched(key) for key in "aba"] == [True, True, False]
    assert touched("c"), "and b, which was asked for first, goes"
    assert [touched(key) for key in "acb"] == [False, False, True]
    assert [touched("large", 11) for _ in range(2)] == [True, True]
    assert [touched(key) for key in "cb"] == [False, False], "nothing went for what cannot be kept"


def test_a_second_network_does_not_distort_again(monkeypatch: pytest.MonkeyPatch) -> None:
    base = load(DatasetConfig("digits", stimuli=30, seed=11), "test")
    first = shifted(base, "uniform-noise", "0.10").pixels(range(30))

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("distorted again")

    monkeypatch.setattr(paired, "apply", never)
    again = shifted(base, "uniform-noise", "0.10").pixels([4, 2])
    assert torch.equal(again, first[[4, 2]])
    with pytest.raises(AssertionError, match="distorted again"):
        shifted(base, "uniform-noise", "0.10", seed=1).pixels([4, 2])


def test_samples_are_the_first_images_of_every_condition() -> None:
    config = DatasetConfig("digits", stimuli=40, levels=["0", "bw"], conditions=["colour", "rotation", "edge"])
    found = samples(config)
    assert [(s.name, s.level, s.averaged) for s in found] == [
        ("wd", "", False),
        ("colour", "bw", True),
        ("rotation", "0", True),
        ("edge", "analogue", True),
    ]
    base = load(config, "test")
    assert np.array_equal(found[0].images, np.stack([np.array(base.image(i)) for i in range(3)]))


def test_the_sheet_has_a_row_for_each_shift_and_names_every_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(figure.style, "save", lambda fig, folder, name: drawn.append(fig) or [])
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    shown = [Sample("wd", "", False, images)]
    shown += [Sample(s.name, level, level in s.averaged, images) for s in SHIFTS.values() for level in s.levels]
    figure.sheet(shown, tmp_path)
    (fig,) = drawn
    titled = {ax.get_title(): ax.title.get_color() for ax in fig.axes if ax.images}
    assert len([ax for ax in fig.axes if ax.images]) == len(shown)
    assert titled["c05"] == "black"
    assert titled["c01"] != "black"
    names = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert names == ["within\ndistribution", *SHIFTS]
    pyplot.close("all")


def test_the_command_draws_every_level_unless_told_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(figure, "sheet", lambda rows, folder: seen.append(rows) or [folder / "shifts.png"])
    words = ["figure", "shifts", "dataset=digits", "dataset.conditions=[contrast]", f"output={tmp_path}"]
    assert main(words) == 0
    assert main([*words, "dataset.levels=benchmark"]) == 0
    assert [len(rows) for rows in seen] == [1 + 8, 1 + 5]
    assert f"{tmp_path}/shifts/digits/shifts.png" in capsys.readouterr().out
    assert main([*words, "dataset.levels=[c2]"]) == 1
    assert "no chosen shift has the level c2" in capsys.readouterr().err
