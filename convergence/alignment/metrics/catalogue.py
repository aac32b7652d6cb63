"""What each metric is: how it reads the data, and where it applies. The order is the order of rows everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convergence.system.errors import UserError


@dataclass(frozen=True)
class Measure:
    """One metric.

    Attributes
    ----------
    about : a few words.
    fitted : a map is fitted on the training folds, from second moments, and scored on the held-out one. Otherwise
        nothing is fitted, and the measure is read off the held-out fold's stimuli alone.
    symmetric : both directions have the same score.
    equal_widths : both layers need the same number of units.
    single_position : it compares stimuli with one another, so each must have one response (not ``samples``).
    least : stimuli that a fold needs.
    """

    about: str
    fitted: bool = True
    symmetric: bool = False
    equal_widths: bool = False
    single_position: bool = False
    least: int = 2

    def applies(self, width_x: int, width_y: int, positions: int) -> bool:
        """Whether it applies to a pair of layers of these widths and positions per stimulus."""
        return (width_x == width_y or not self.equal_widths) and (positions == 1 or not self.single_position)


# The paper's, from flexible to strict.
_PAPER = {
    "linear": Measure("any linear map: ridge regression"),
    "procrustes": Measure("rotations and reflections: orthogonal Procrustes"),
    "permutation": Measure("one unit to one unit, at equal widths", equal_widths=True),
    "soft_matching": Measure("optimal transport between units"),
}
MEASURES = {
    **_PAPER,
    "partial_soft_matching": Measure("transport of the best-matched part of the units"),
    "cca": Measure("mean canonical correlation", symmetric=True),
    "pwcca": Measure("canonical correlation by its share of the target"),
    "cka": Measure("linear CKA, unbiased", fitted=False, symmetric=True, least=4),
    "rsa": Measure("rank correlation of dissimilarities", fitted=False, symmetric=True, single_position=True, least=3),
    "mutual_knn": Measure(
        "shared nearest neighbours (10)", fitted=False, symmetric=True, single_position=True, least=12
    ),
}
METRICS = tuple(_PAPER)


def check(metrics: Sequence[str], rows: int, folds: int) -> None:
    """Refuse folds that are too small for one of the metrics.

    Raises
    ------
    UserError
        Naming the metric, and how many stimuli a fold needs.
    """
    for metric in metrics:
        least, there = MEASURES[metric].least, rows // folds
        if there < least:
            raise UserError(
                f"{metric} needs at least {least} stimuli in a fold, and {rows} stimuli in {folds} folds leave "
                f"{there}: give more stimuli or fewer folds."
            )
