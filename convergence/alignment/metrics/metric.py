"""What a metric is: an object with its facts, which options, help, figures, reports and nulls read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from convergence.alignment.metrics.scores import Scores
    from convergence.alignment.moments.statistics import HeldOutUnits, TrainingUnits

T = TypeVar("T")


class Freedom(IntEnum):
    """What a fitted map may do, from strict to flexible."""

    matching = 0  # units with units
    rotation = 1
    linear = 2


@dataclass
class Training:
    """What a map is fitted from: pairs of layers on the training stimuli, "…" of them at once.

    Attributes
    ----------
    source, target : units of the layers.
    cross : (…, N_x, N_y) training scatter between them.
    careful : bool (…,), the fits to be made by the most careful way, whatever it takes: no others count. None where
        all do, by the fast way.
    """

    source: TrainingUnits
    target: TrainingUnits
    cross: Tensor
    careful: Tensor | None = None
    _made: dict[Any, Any] = field(default_factory=dict)

    def once(self, make: Callable[[Training], T]) -> T:
        """What ``make`` makes of it, for several metrics."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    @property
    def reversed(self) -> Training:
        """The other direction."""
        return Training(self.target, self.source, self.cross.mT, self.careful)


@dataclass
class HeldOut:
    """What a map is scored on: the same pairs of layers on held-out stimuli.

    Attributes
    ----------
    source, target : units of the layers.
    cross : (…, N_x, N_y) scatter between them.
    beside : (F, V, T) each: which of the target's kept responses belongs to each of the source's, and the reverse;
        None where both sides keep them in one order.
    """

    source: HeldOutUnits
    target: HeldOutUnits
    cross: Tensor
    beside: tuple[Tensor, Tensor] | None = None

    @property
    def few(self) -> bool:
        """Whether responses are kept, to fewer stimuli than the source has units."""
        source, target = self.source.responses, self.target.responses
        return source is not None and target is not None and source.shape[-2] <= source.shape[-1]

    @property
    def reversed(self) -> HeldOut:
        """The other direction."""
        beside = None if self.beside is None else self.beside[::-1]
        return HeldOut(self.target, self.source, self.cross.mT, beside)


@dataclass(frozen=True)
class Metric:
    """Facts of one metric, and the functions that fit and score it.

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
    gram : its map is a matrix that Gram matrices can fit, where a layer has more units than there are stimuli.
    spectral : its fit reads eigenvectors of the training scatters.
    by_unit : of the layers themselves it asks for single units alone, and for no scatter within a layer.
    fit : a map from training statistics.
    score : a map's scores on held-out statistics.
    reverse : the map of the other direction, where it follows from this one.
    prepare, compare, reorder : where nothing is fitted, what is taken from one layer's held-out responses (n, N), the
        scores (X, Y) of some such with others, and what is taken from the same responses in another order (n,).
    call : a user's own function of responses (see ``own.py``).
    bytes_taken : by all that is prepared of layers of these widths on n stimuli.
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
    spectral: bool = False
    by_unit: bool = False
    fit: Callable[[Training], Any] | None = None
    score: Callable[[Any, HeldOut], Scores] | None = None
    reverse: Callable[[Any], Any] | None = None
    prepare: Callable[[Tensor], Any] | None = None
    compare: Callable[[Sequence[Any], Sequence[Any]], Tensor] | None = None
    reorder: Callable[[Any, Tensor], Any] | None = None
    call: Callable[[Tensor, Tensor, Tensor, Tensor], Any] | None = None
    bytes_taken: Callable[[int, Sequence[int]], int] | None = None

    @property
    def style(self) -> dict[str, Any]:
        """The look and the label, as matplotlib names them."""
        color, marker, linestyle = self.look
        return {"color": color, "marker": marker, "linestyle": linestyle, "label": self.label}

    def applies(self, width_x: int, width_y: int, positions: int) -> bool:
        """Whether it applies to a pair of layers of these widths and positions per stimulus."""
        return (width_x == width_y or not self.equal_widths) and (positions == 1 or not self.single_position)
