"""Which layers the columns of a table are of: lines to stand below it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd

from convergence.figures import style
from convergence.results import views as tables
from convergence.system.terminal import WIDTH

FIRST, MIDDLE, LAST = "first layer", "middle", "last layer"
_MODELS = 3  # that are named
_LETTERS = 30  # of a layer's name


def at(rows: pd.DataFrame, depths: Sequence[float]) -> tuple[str, ...]:
    """The layers at the first, middle and last of a metric's depths: one name, or each model's.

    Parameters
    ----------
    rows : of corresponding layers; their depth is the mean of both ends'.
    """
    depth = rows[["source_depth", "target_depth"]].mean(axis=1).round(6)
    return tuple(_named(rows[depth == depths[i]]) for i in (0, len(depths) // 2, -1))


def lines(columns: Mapping[str, tuple[str, ...]], heads: Sequence[str] = (FIRST, MIDDLE, LAST)) -> list[str]:
    """What is in each column, by metric: said once for all metrics of which it is the same."""
    metrics: dict[tuple[str, ...], list[str]] = {}
    for metric, names in columns.items():
        metrics.setdefault(names, []).append(metric)
    found = []
    for names, of in metrics.items():
        whose = f"{', '.join(of)}, " if len(metrics) > 1 else ""
        text = whose + "; ".join(f"{head}: {name}" for head, name in zip(heads, names, strict=True)) + "."
        found += textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return found


def _named(rows: pd.DataFrame) -> str:
    ends = [rows[[f"{end}_model", f"{end}_layer"]].set_axis(["model", "layer"], axis=1) for end in ("source", "target")]
    ends = [end[end.model != tables.PIXELS] for end in ends]
    layers = {
        str(model): " or ".join(style.short(name, _LETTERS) for name in part.layer.unique())
        for model, part in pd.concat(ends).groupby("model", sort=False)
    }
    if len({*layers.values()}) == 1:
        return next(iter(layers.values()))
    more = f" and those of {len(layers) - _MODELS} more" if len(layers) > _MODELS else ""
    return ", ".join([f"{name} of {model}" for model, name in layers.items()][:_MODELS]) + more
