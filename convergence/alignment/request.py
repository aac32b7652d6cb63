"""How pairs of layers are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convergence.alignment.chance.drawn import Drawn
from convergence.alignment.chance.null import Null
from convergence.alignment.metrics.catalogue import METRICS
from convergence.alignment.moments.accumulate import Representation

DIRECTIONS = {"both": ("x->y", "y->x"), "forward": ("x->y",), "backward": ("y->x",)}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How pairs of layers are scored: what :func:`score` and :func:`transfer` take by name.

    Attributes
    ----------
    metrics : names of the catalogue, ``FILE.py:NAME``, or functions.
    folds, seed : of the stimuli.
    directions : ``both``, ``forward`` (y from x) or ``backward``.
    device : of torch, or its name.
    memory_gb : budget for moments and chunks.
    chunk : stimuli read at a time; follows from the budget if None.
    advance : is told of every n pairs done on one fold, of the data and of each draw.
    null : chance, of which there are rows then too; not of a transfer.
    """

    metrics: Sequence[str | Callable[..., Any]] = METRICS
    folds: int = 5
    seed: int = 42
    directions: str = "both"
    device: Any = "cpu"
    memory_gb: float = 2.0
    chunk: int | None = None
    advance: Callable[[int], None] | None = None
    null: Null | None = None


@dataclass(frozen=True)
class Request:
    """What every way to score is asked for, whichever pairs and metrics fall to it.

    Attributes
    ----------
    sets : responses of x and y that maps are fitted on, and of others that they are scored on, if any.
    fold : (M,) of each stimulus.
    drawn : where the draws of a null go.
    """

    sets: Sequence[tuple[Representation, Representation]]
    fold: Tensor
    options: Options
    drawn: Drawn | None = None

    @property
    def x(self) -> Representation:
        return self.sets[0][0]

    @property
    def y(self) -> Representation:
        return self.sets[0][1]

    @property
    def others(self) -> Sequence[tuple[Representation, Representation]]:
        """On which maps are scored that are fitted on x and y; none if x and y themselves are."""
        return self.sets[1:]

    @property
    def held_out(self) -> Sequence[tuple[Representation, Representation]]:
        """On which maps are scored."""
        return self.sets[1:] or self.sets

    @property
    def null(self) -> Null:
        """Whose draws go to ``drawn``."""
        assert self.drawn is not None
        return self.drawn.null

    @property
    def directions(self) -> tuple[str, ...]:
        return DIRECTIONS[self.options.directions]

    @property
    def budget(self) -> float:
        """Bytes."""
        return self.options.memory_gb * 2**30
