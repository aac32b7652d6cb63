"""What a shift is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from convergence.stimuli.shifts.draws import Streams
from convergence.stimuli.shifts.statistics import Statistics
from convergence.system.errors import UserError


@dataclass(frozen=True)
class Batch:
    """Images, float64 (n, 3, S, S) in [0, 1], with what a shift may need besides them."""

    images: Tensor
    seeds: Sequence[int]
    statistics: Statistics | None
    partners: Tensor | None

    def uniform(self, *shape: int) -> Tensor:
        return Streams(self.seeds, self.images.device).uniform(*shape)

    def known(self) -> Statistics:
        if self.statistics is None:
            raise ValueError("this shift needs the statistics of the data set")
        return self.statistics

    def others(self) -> Tensor:
        if self.partners is None:
            raise ValueError("this shift needs a partner for each image")
        return self.partners


class Partner(Enum):
    """Which image a shift takes a texture from."""

    image = "any other image"
    other_class = "any image of another class"


@dataclass(frozen=True)
class Graded:
    """A shift by its name and levels.

    Attributes
    ----------
    levels : the benchmark's tokens, the mildest first ("0" where it has no levels).
    averaged : those of them that the benchmark averages over.
    """

    name: str
    levels: tuple[str, ...]
    averaged: tuple[str, ...]

    def meant(self, token: str) -> str | None:
        """The level that a token means, if any, however it is spelt: "3.0" is "3", "True" is "true", "c5" is "c05"."""
        return next((level for level in self.levels if _spelled(level) == _spelled(token)), None)

    def level(self, token: str) -> str:
        """As ``meant``.

        Raises
        ------
        UserError
            If there is no such level.
        """
        level = self.meant(token)
        if level is None:
            raise UserError(f"{self.name} has no level {token}: choose from {', '.join(self.levels)}.")
        return level


@dataclass(frozen=True)
class Shift(Graded):
    """One of the seventeen.

    Attributes
    ----------
    distort : images of a batch at a level, float64 (n, 3, S, S); may leave [0, 1].
    measured : whether it needs the statistics of the data set.
    partner : which other image it needs, if it does.
    analogue : whether the benchmark's images were made by hand or by other networks, and these only resemble them.
    """

    distort: Callable[[Batch, str], Tensor]
    measured: bool = False
    partner: Partner | None = None
    analogue: bool = False


def _spelled(token: str) -> tuple[str, float | str]:
    """A contrast of c30 is never an angle of 30."""
    lower = token.lower()
    mark = "c" if lower.startswith("c") else ""
    try:
        return mark, float(lower.removeprefix("c"))
    except ValueError:
        return mark, lower
