"""What a metric is: an object with its facts, which options, help, figures, reports and nulls read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Freedom(IntEnum):
    """What a fitted map may do, from strict to flexible."""

    matching = 0  # units with units
    rotation = 1
    linear = 2


@dataclass(frozen=True)
class Metric:
    """Facts of one metric.

    Attributes
    ----------
    name : as options and results spell it.
    label : as figures spell it.
    about : a few words for lists.
    place : order of rows, lists and figures.
    look : colour, marker and line style, which differ at once from those of other metrics.
    paper : one of the study's own, which are scored by default.
    freedom : of its map; None where it is not one of the study's kinds of map.
    ignores : changes of the source's responses that leave the score as it is.
    fitted : a map is fitted on the training folds and scored on the held-out one. Otherwise nothing is fitted, and the
        score is read off the held-out fold's stimuli alone.
    symmetric : both directions have the same score.
    equal_widths : both layers need the same number of units.
    single_position : it compares stimuli with one another, so each must have one response (not ``samples``).
    least : stimuli that a fold needs.
    basis_bound : a rotation of the source changes its score, so that the rotation null says something.
    gram : it can be fitted from Gram matrices, where a layer has more units than there are stimuli.
    """

    name: str
    label: str
    about: str
    place: int
    look: tuple[str, str, str] = ("#777777", "h", "--")
    paper: bool = False
    freedom: Freedom | None = None
    ignores: tuple[str, ...] = field(default=())
    fitted: bool = True
    symmetric: bool = False
    equal_widths: bool = False
    single_position: bool = False
    least: int = 2
    basis_bound: bool = False
    gram: bool = False

    @property
    def style(self) -> dict[str, Any]:
        """The look and the label, as matplotlib names them."""
        color, marker, linestyle = self.look
        return {"color": color, "marker": marker, "linestyle": linestyle, "label": self.label}

    def applies(self, width_x: int, width_y: int, positions: int) -> bool:
        """Whether it applies to a pair of layers of these widths and positions per stimulus."""
        return (width_x == width_y or not self.equal_widths) and (positions == 1 or not self.single_position)
