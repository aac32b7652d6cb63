"""Numbers as they are written for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.text import Text

from convergence import figures
from convergence.figures import style
from convergence.figures.summary import summary
from convergence.results.numbers import number, percent
from tests.support import synthetic
from tests.support.tables import table


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.125, 3, "0.125"),
        (-0.004, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (-0.006, 2, "−0.01"),
        (-0.4, 0, "0"),
        (-12.0, 1, "−12.0"),
        (float("nan"), 2, "–"),
    ],
)
def test_a_number_has_a_true_minus_and_never_a_negative_zero(value: float, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


def test_a_share_is_written_in_hundredths() -> None:
    assert [percent(0.256), percent(-0.001), percent(0.9134, 1), percent(float("nan"))] == ["26%", "0%", "91.3%", "–"]


def _chance() -> pd.DataFrame:
    kept = table().query("fold == 0").assign(null="rotation", fold=None, draws=99, p_value=1.0, p_value_max=1.0)
    return synthetic.whole(pd.concat([table(), kept.assign(null_quantile=0.3, score_calibrated=-0.0003)]))


# Rows whose numbers lie just below zero, and a number that their summary holds.
SMALL: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "depth": (lambda: synthetic.depth(lambda *_: -0.0003, slopes=0, noise=1e-6), "0.000"),
    "depth, below zero": (lambda: synthetic.depth(lambda *_: -0.2, slopes=0, noise=1e-6), "−0.200"),
    "chance": (_chance, "0.000, p 1.000"),
    "training": (lambda: synthetic.training((0.2, 0.199, 0.1995, 0.4, 0.5), (0.1, 0.1, 0.3, 0.4, 0.5)), "0.00 [−0."),
    "ood": (lambda: synthetic.ood(lambda *_: 0.8003, lambda s, k: 0.1 * s, noise=1e-6), "0.000"),
}


@pytest.mark.parametrize("case", SMALL)
def test_no_table_and_no_figure_has_a_negative_zero_or_a_hyphen_for_a_minus(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, expected = SMALL[case]
    texts: list[str] = []

    def save(figure: Any, *_: object) -> list[Path]:
        figure.draw_without_rendering()
        texts.extend(text.get_text() for text in figure.findobj(Text))
        return []

    monkeypatch.setattr(style, "save", save)
    figures.draw(rows(), tmp_path)
    told = summary(rows())
    assert expected in told
    assert texts
    for text in (told, *texts):
        assert not re.search(r"(?<![\w.)])-\d", text), text
        assert not re.search(r"[-−]0(\.0*)?(?![\d.])", text), text
