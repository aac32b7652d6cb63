"""A data set's shifts side by side: what the networks are shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convergence.figures import style

_CELL = 1.5  # inches, the width of a level's images
_GAP = 1 / 16  # of an image's width
_MARGIN = 1.15  # inches, for the names
_TITLE = 0.17  # inches, above each row, for the levels


class Shown(Protocol):
    """Images of a shift at a level."""

    @property
    def name(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def averaged(self) -> bool: ...
    @property
    def images(self) -> NDArray[np.uint8]: ...


def sheet(samples: Sequence[Shown], folder: Path) -> list[Path]:
    """``shifts.pdf`` and ``shifts.png``: a row for each shift, a column for each level.

    Levels that belong in means over shifts are set in black, others in grey.

    Parameters
    ----------
    samples : those of one shift side by side, each with uint8 (n, S, S, 3) images.
    """
    rows = [(name, list(group)) for name, group in groupby(samples, key=lambda sample: sample.name)]
    columns = max(len(row) for _, row in rows)
    count = max(len(sample.images) for sample in samples)
    height = _CELL / count + _TITLE
    with style.pyplot() as plt:
        size = (_MARGIN + columns * _CELL, len(rows) * height)
        figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="none")
        figure.subplots_adjust(
            left=_MARGIN / size[0],
            right=1 - 0.03 / size[0],
            bottom=0.03 / size[1],
            top=1 - _TITLE / size[1],
            wspace=0.04,
            hspace=_TITLE / (_CELL / count),
        )
        for (name, row), line in zip(rows, axes, strict=True):
            for ax in line:
                ax.axis("off")
            for sample, ax in zip(row, line, strict=False):
                _cell(ax, sample)
            label = "within\ndistribution" if name == "wd" else name
            line[0].text(-0.04, 0.5, label, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
        return style.save(figure, folder, "shifts")


def _cell(ax: Any, sample: Shown) -> None:
    from matplotlib.patches import Rectangle

    side = sample.images.shape[1]
    gap = max(round(_GAP * side), 1)
    white = np.full((side, gap, 3), 255, dtype=np.uint8)
    parts = [part for image in sample.images for part in (white, image)][1:]
    ax.imshow(np.concatenate(parts, axis=1), interpolation="nearest", aspect="equal")
    for i in range(len(sample.images)):  # white images on white paper
        corner = (i * (side + gap) - 0.5, -0.5)
        ax.add_patch(Rectangle(corner, side, side, fill=False, linewidth=0.3, edgecolor="#aaaaaa", clip_on=False))
    ax.set_title(sample.level, fontsize=7.5, pad=2, color="black" if sample.averaged else "#777777")
