"""Many networks: who resembles whom, as a matrix ordered by clustering, its tree, and a map in two dimensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.figures import style
from convergence.results import views as tables
from convergence.results.numbers import number
from convergence.results.population import Population, populations

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKS = "osD^vPX*"
_NAMED = 24  # networks up to which each is named; of more, every second or third
_LABELLED = 12  # points up to which each has its name
_LETTERS = 18  # of a model's name


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``population_<metric>`` as PDF and PNG, one per metric, where four networks or more have all met."""
    return [path for found in populations(table) for path in _draw(found, table, folder)]


def _draw(found: Population, table: pd.DataFrame, folder: Path) -> list[Path]:
    n = len(found.networks)
    side = min(4.2, max(3.2, 0.16 * n + 1.2))
    with style.pyplot() as plt:
        figure = plt.figure(figsize=(2.15 * style.COLUMN, side + 1.1))
        left, right = figure.subfigures(1, 2, width_ratios=(1.35, 1))
        above, below = left.subplots(2, 1, height_ratios=(1, 4))
        _tree(above, found)
        image = below.imshow(found.alignment, cmap="cividis", aspect="auto")
        below.spines[:].set_visible(False)
        _ticks(below, found)
        left.colorbar(image, ax=(above, below), label=style.quantity([found.metric]), shrink=0.7, aspect=30)
        _map(right.subplots(), found)
        apart = (
            "" if np.isnan(found.separability) else f"within against across models: d′ = {number(found.separability)}"
        )
        rows = tables.split(tables.networks(table[table.metric == found.metric]))[0]
        style.note(figure, rows, f"{style.label(found.metric)}, {n} networks, mean over corresponding layers", apart)
        return style.save(figure, folder, f"population_{found.metric}")


def _tree(axes: Any, found: Population) -> None:
    from scipy.cluster import hierarchy  # a fifth of a second that other figures do without

    hierarchy.dendrogram(found.tree, ax=axes, no_labels=True, color_threshold=0, above_threshold_color="0.35")
    low, high = found.tree[0, 2], found.tree[-1, 2]
    room = 0.25 * (high - low) or 0.05 * high
    axes.set_ylim(max(0.0, low - room), high + 0.2 * room)  # what is below the first join tells nothing
    axes.set_ylabel("distance", fontsize=6.5)
    axes.spines["bottom"].set_visible(False)


def _ticks(axes: Any, found: Population) -> None:
    n = len(found.networks)
    step = max(1, -(-n // _NAMED))
    names = _names(found)
    size = 6.5 if n <= 14 else 5
    axes.set_yticks(range(0, n, step), names[::step], fontsize=size)
    axes.set_xticks(range(0, n, step), names[::step], fontsize=size, rotation=90)
    axes.tick_params(length=0)


def _names(found: Population) -> list[str]:
    """The networks by model and weights; of one model by weights alone, which tell them apart."""
    parts = [name.split("/", 1) for name in found.networks]
    if len(set(found.models)) == 1:
        return [style.short(weights, 24) for _, weights in parts]
    return [f"{_model(model)}/{style.short(weights, 12)}" for model, weights in parts]


def _model(name: str) -> str:
    """A model's name begins with its architecture and ends with its training: of a long one, both ends."""
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 8]}…{name[-7:]}"


def _map(axes: Any, found: Population) -> None:
    for i, model in enumerate(dict.fromkeys(sorted(found.models))):
        mine = found.places[[m == model for m in found.models]]
        look = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKS[i % len(_MARKS)]}
        axes.scatter(mine[:, 0], mine[:, 1], s=22, label=_model(model), edgecolors="white", lw=0.4, **look)
    if len(found.networks) <= _LABELLED and len(set(found.models)) == 1:
        for name, place in zip(_names(found), found.places, strict=True):
            text = name.split("/")[-1]
            axes.annotate(text, place, xytext=(4, 3), textcoords="offset points", fontsize=5.5, color="0.35")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set(xlabel="first coordinate of 1 − alignment", ylabel="second coordinate")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=6.5)
