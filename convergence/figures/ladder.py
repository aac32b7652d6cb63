"""The ladder: what each freedom of the map adds to the score, layer by layer."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.metric import Freedom
from convergence.figures import style
from convergence.results import views as tables
from convergence.results.ladder import Step, as_table, ladder
from convergence.system.files import write_atomic

_BUYS = {Freedom.rotation: "rotation", Freedom.linear: "scale and shear"}  # what the upper rung of a step adds
_UNTRAINED = "untrained pair"
_APART = 0.006


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``ladder``, as PDF and PNG, with the numbers in ``ladder.csv``; nothing where a rung was not scored."""
    trained, before = (ladder(part) for part in tables.split(table))
    if not trained:
        return []
    studies = list(dict.fromkeys(step.study for step in trained))
    alike = len(studies) == 1 and all(step.named_alike for step in trained)
    names = {step.depth: step.layer for step in trained} if alike else {}
    with style.pyplot() as plt:
        size = (style.COLUMN, 2.5 * len(studies) + (1.2 if names else 0.7))
        figure, panels = plt.subplots(len(studies), 1, figsize=size, sharex=True, squeeze=False)
        for axes, study in zip(panels[:, 0], studies, strict=True):
            _steps(axes, [step for step in trained if step.study == study], faint=False)
            _steps(axes, [step for step in before if step.study == study], faint=True)
            axes.axhline(0, color="0.6", lw=0.6, zorder=0)
            gain = "gain in score (held-out r)"
            axes.set_ylabel(f"{textwrap.fill(study, 34)}\n{gain}" if len(studies) > 1 else gain)
        style.depth_axis(panels[-1, 0], names)
        handles = sorted(panels[0, 0].get_legend_handles_labels()[0], key=lambda h: h.get_label() == _UNTRAINED)
        figure.legend(handles=handles, loc="outside upper center", frameon=False, handlelength=2.6)
        style.note(figure, tables.split(table)[0], _interval(trained))
        paths = style.save(figure, folder, "ladder")
    numbers = pd.concat([as_table(trained, "trained"), as_table(before, "untrained")])
    path = folder / "ladder.csv"
    write_atomic(path, lambda p: numbers.to_csv(p, index=False, float_format="%.6g"))
    return [*paths, path]


def _steps(axes: Any, steps: list[Step], faint: bool) -> None:
    for freedom, buys in _BUYS.items():
        mine = [step for step in steps if catalogue.find(step.upper).freedom is freedom]
        if not mine:
            continue
        look, depths = style.look(mine[0].upper), np.array([step.depth for step in mine])
        gains = np.array([step.gain.value for step in mine])
        if faint:
            axes.plot(depths, gains, color=look["color"], ls=look["linestyle"], lw=0.8, alpha=0.5)
            continue
        ends = np.array([step.gain.interval for step in mine]).T
        bars = np.abs(np.nan_to_num(ends - gains, nan=0.0))
        lower = style.label(mine[0].lower)
        label = f"{buys} ({look['label']} − {lower})"
        beside = depths + (_APART if freedom is Freedom.linear else -_APART)  # so that bars do not hide one another
        few = {"elinewidth": 0.7, "capsize": 2} if len(depths) <= 30 else {"elinewidth": 0.5, "ms": 2, "lw": 0.8}
        axes.errorbar(beside, gains, bars, **{**look, "label": label, **few})
    if faint and steps:
        axes.plot([], [], color="0.5", lw=0.8, label=_UNTRAINED)


def _interval(steps: list[Step]) -> str:
    over = sorted({step.gain.over for step in steps if step.gain.over})
    return f"bars: 95 % over {' or '.join(over)}" if over else "no interval can be told"
