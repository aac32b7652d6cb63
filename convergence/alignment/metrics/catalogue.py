"""All metrics: those of this folder's files, by name. The order is the order of rows everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from convergence.alignment import metrics as _folder
from convergence.alignment.metrics.metric import Freedom, Metric
from convergence.system import user_code
from convergence.system.errors import UserError, nearest


def _gathered() -> dict[str, Metric]:
    modules = [import_module(f"{_folder.__name__}.{found.name}") for found in iter_modules(_folder.__path__)]
    objects = [module.METRIC for module in modules if hasattr(module, "METRIC")]
    return {metric.name: metric for metric in sorted(objects, key=lambda metric: metric.place)}


MEASURES: dict[str, Metric] = _gathered()
_OWN = "(x_train, y_train, x_test, y_test)"  # what a user's metric is called with
METRICS: tuple[str, ...] = tuple(name for name, metric in MEASURES.items() if metric.paper)


def find(name: str) -> Metric:
    """The metric of this name; for a user's own (``FILE.py:NAME``, or NAME in results) what can be said unseen."""
    if name in MEASURES:
        return MEASURES[name]
    return _own(name.rpartition(":")[2], None)


def _own(name: str, call: Callable[..., Any] | None) -> Metric:
    about = "a metric of one's own"
    return Metric(name, name, about, place=len(MEASURES), fitted=False, basis_bound=True, call=call)


def resolve(metrics: Sequence[str | Callable[..., Any]], what: str = "metric.names") -> list[Metric]:
    """The metrics that are asked for, in the order of rows: names, ``FILE.py:NAME``, or functions.

    Raises
    ------
    UserError
        If there is none of that name, a user's cannot be loaded or called, or two have one name.
    """
    found: dict[str, Metric] = {}
    for one in dict.fromkeys(metrics):
        if isinstance(one, str) and one in MEASURES:
            found[one] = MEASURES[one]
            continue
        if isinstance(one, str) and ":" not in one:
            known = nearest(one, list(MEASURES))
            raise UserError(f"{what}: there is no metric '{one}'; {known} One of your own: FILE.py:NAME.")
        call = user_code.load(one, what) if isinstance(one, str) else one
        name = one.rpartition(":")[2] if isinstance(one, str) else getattr(one, "__name__", type(one).__name__)
        if not callable(call):
            raise UserError(f"{what}: {one} is no function of {_OWN}.")
        _refuse_other_arguments(call, f"{what}: {one}")
        if name in found or name in MEASURES:
            raise UserError(f"{what}: two metrics are called {name}; rename your own.")
        found[name] = _own(name, call)
    return sorted(found.values(), key=lambda metric: metric.place)


def _refuse_other_arguments(call: Callable[..., Any], what: str) -> None:
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # not to be told for some built in C
        return
    try:
        signature.bind(*range(4))
    except TypeError:
        raise UserError(f"{what} is called with {_OWN}, and takes {signature}: let it take these four.") from None


def ordered(names: Iterable[str]) -> list[str]:
    """Each name once: those of the catalogue in its order, then others as they come."""
    unique = list(dict.fromkeys(names))
    return sorted(unique, key=lambda name: find(name).place)


def of_freedom(names: Iterable[str], freedom: Freedom) -> str | None:
    """The metric among ``names`` whose map has this freedom; of several the one that applies to most layers."""
    found = [name for name in ordered(names) if find(name).freedom is freedom]
    return min(found, key=lambda name: find(name).equal_widths) if found else None


def check(metrics: Sequence[Metric], rows: int, folds: int) -> None:
    """Refuse folds that are too small for one of the metrics.

    Raises
    ------
    UserError
        Naming the metric, and how many stimuli a fold needs.
    """
    for metric in metrics:
        least, there = metric.least, rows // folds
        if there < least:
            raise UserError(
                f"{metric.name} needs at least {least} stimuli in a fold, and {rows} stimuli in {folds} folds leave "
                f"{there}: give more stimuli or fewer folds."
            )
