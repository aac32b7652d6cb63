"""All metrics: those of this folder's files, by name. The order is the order of rows everywhere."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules

from convergence.alignment import metrics as _folder
from convergence.alignment.metrics.metric import Freedom, Metric
from convergence.system.errors import UserError


def _gathered() -> dict[str, Metric]:
    modules = [import_module(f"{_folder.__name__}.{found.name}") for found in iter_modules(_folder.__path__)]
    objects = [module.METRIC for module in modules if hasattr(module, "METRIC")]
    return {metric.name: metric for metric in sorted(objects, key=lambda metric: metric.place)}


MEASURES: dict[str, Metric] = _gathered()
METRICS: tuple[str, ...] = tuple(name for name, metric in MEASURES.items() if metric.paper)


def find(name: str) -> Metric:
    """The metric of this name; for one that is not here (a user's own, in a table of results) what can be said."""
    if name in MEASURES:
        return MEASURES[name]
    return Metric(name, name, "a metric of one's own", place=len(MEASURES), basis_bound=True)


def ordered(names: Iterable[str]) -> list[str]:
    """Each name once: those of the catalogue in its order, then others as they come."""
    unique = list(dict.fromkeys(names))
    return sorted(unique, key=lambda name: find(name).place)


def of_freedom(names: Iterable[str], freedom: Freedom) -> str | None:
    """The metric among ``names`` whose map has this freedom; of several the one that applies to most layers."""
    found = [name for name in ordered(names) if find(name).freedom is freedom]
    return min(found, key=lambda name: find(name).equal_widths) if found else None


def check(metrics: Sequence[str], rows: int, folds: int) -> None:
    """Refuse metrics that are not known, and folds that are too small for one of the metrics.

    Raises
    ------
    UserError
        Naming the metric, and how many stimuli a fold needs.
    """
    for metric in metrics:
        if metric not in MEASURES:
            near = difflib.get_close_matches(metric, MEASURES, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(MEASURES)}."
            raise UserError(f"metric.names: there is no metric '{metric}'; {hint}")
        least, there = find(metric).least, rows // folds
        if there < least:
            raise UserError(
                f"{metric} needs at least {least} stimuli in a fold, and {rows} stimuli in {folds} folds leave "
                f"{there}: give more stimuli or fewer folds."
            )
