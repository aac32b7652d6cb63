"""The scores of a null's draws, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convergence.alignment.chance.null import Null

Key = tuple[str, str, str, str]  # layer_x, layer_y, metric, direction
Scores = NDArray[np.float64]


@dataclass
class Drawn:
    """The three scores of every draw, by null and by pair, metric and direction: (draws, folds, 3) each."""

    null: Null
    scores: dict[str, dict[Key, Scores]] = field(default_factory=dict)

    def put(self, kind: str, key: Key, folds: int, draws: range, held: Sequence[int], numbers: Scores) -> None:
        """Keep the scores (folds held, draws, 3) of some draws on some folds."""
        empty = np.full((self.null.draws, folds, 3), np.nan)
        kept = self.scores.setdefault(kind, {}).setdefault(key, empty)
        kept[draws.start : draws.stop, list(held)] = numbers.transpose(1, 0, 2)
