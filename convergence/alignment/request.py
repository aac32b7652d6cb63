"""How pairs of layers are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convergence.alignment.chance.null import Null
from convergence.alignment.metrics.catalogue import METRICS

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
