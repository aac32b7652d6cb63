"""Figure 1 of the paper: its five panels, A to E, from the rows of all three axes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.figures import depth, style
from convergence.results import views as tables
from convergence.results.accuracy import correlation
from convergence.results.divergence import REFIT, TRANSFER, divergences
from convergence.results.rise import ACCURACY, ALL, rise, same_point

_log = logging.getLogger("convergence")
AXES = ("depth", "training", "ood")
_DEPTH = "relative depth"
_PROTOCOLS = {REFIT: ("#0072B2", "o", "map refitted"), TRANSFER: ("#D55E00", "s", "map carried over")}


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``figure1`` as PDF and PNG. A panel whose axis has no rows says so."""
    rows = dict(iter(tables.observed(table).groupby("axis")))
    shown = style.preferred(list(table.metric.unique()))
    with style.pyplot() as plt:
        figure = plt.figure(figsize=(2.15 * style.COLUMN, 7.2))
        above, below, foot = figure.subfigures(3, 1, height_ratios=(1.45, 1, 0.17))
        left, middle, right = above.subfigures(1, 3, width_ratios=(1, 0.85, 1))
        panels: list[tuple[str, str, Any, Callable[..., None]]] = [
            ("A", "depth", left, _profile),
            ("B", "depth", middle, _heatmaps),
            ("C", "training", right, _training),
        ]
        for name, place in zip("DE", below.subfigures(1, 2), strict=True):
            panels.append((name, "ood", place, {"D": _shifts, "E": _accuracy}[name]))
        for name, axis, place, panel in panels:
            place.suptitle(name, x=0.01, ha="left", fontsize=10, fontweight="bold")
            if axis in rows:
                panel(place, rows[axis], shown)
            else:
                place.text(0.5, 0.5, f"no rows of axis={axis}", ha="center", color="0.35")
        style.note(foot, table, "error bars in A: ± 1 s.d. over pairs, or folds of one pair")
        return style.save(figure, folder, "figure1")


def _label(metric: str) -> str:
    return f"{style.label(metric)} alignment\n(held-out r)"


def _legend(place: Any, axes: Any, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    place.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=6, handlelength=2.2
    )


def _profile(place: Any, rows: pd.DataFrame, _shown: str) -> None:
    """A: score against depth, per metric; faint, before training."""
    axes = place.subplots()
    trained, before = tables.split(rows)
    for part, look in ((before, {"lw": 0.7, "alpha": 0.4, "ls": "-"}), (trained, {})):
        means = depth.profile(part)[0] if len(part) else pd.DataFrame(columns=["metric"])
        for metric in style.drawn(means.metric):
            own, line = style.look(metric), means[means.metric == metric]
            if look:
                axes.plot(line.depth, line["mean"], color=own["color"], **look)
            else:
                few = {"ms": 3} if len(line) <= 30 else {"ms": 1.5}
                axes.errorbar(line.depth, line["mean"], line["std"], elinewidth=0.6, lw=1, **few, **own)
    if len(before):
        axes.plot([], [], color="0.5", lw=0.7, alpha=0.6, label="untrained")
    axes.set(ylabel="alignment (held-out r)", ylim=(min(0, axes.get_ylim()[0]), 1))
    style.depth_axis(axes, depth.layer_names(trained), _DEPTH)
    _legend(place, axes, 2)


def _heatmaps(place: Any, rows: pd.DataFrame, shown: str) -> None:
    """B: layer × layer, Procrustes above soft matching; the best source of each target, and target of each source."""
    trained = tables.split(rows)[0]
    metrics = style.heatmaps(trained.metric) or [shown]
    image = None
    for axes, metric in zip(np.atleast_1d(place.subplots(len(metrics), 1, sharex=True)), metrics, strict=True):
        cells = depth.grid(trained, metric).to_numpy()
        image = axes.imshow(cells, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        filled = np.nan_to_num(cells, nan=-np.inf)
        axes.plot(np.arange(cells.shape[1]), filled.argmax(0), color="0.75", lw=0.9)
        axes.plot(filled.argmax(1), np.arange(cells.shape[0]), color="0.75", lw=0.9, ls=":")
        axes.set(
            ylabel=f"{style.label(metric)}\nsource layer",
            xticks=[0, cells.shape[1] - 1],
            yticks=[0, cells.shape[0] - 1],
        )
        axes.set_yticklabels([1, cells.shape[0]])
        axes.set_xticklabels([1, cells.shape[1]])
        axes.spines[:].set_visible(False)
    axes.set_xlabel("target layer")
    place.colorbar(image, ax=place.axes, location="bottom", shrink=0.8, aspect=30, label="alignment (held-out r)")


def _training(place: Any, rows: pd.DataFrame, shown: str) -> None:
    """C: alignment against depth, coloured by the point of training; below, its mean and accuracy along training."""
    import matplotlib

    above, below = place.subplots(2, 1, height_ratios=(1.6, 1))
    mine = same_point(rows)
    mine = mine[mine.metric == shown]
    mine = mine.assign(point=tables.point(mine, "source"), depth=mine[["source_depth", "target_depth"]].mean(axis=1))
    lines = mine.groupby(["point", mine.depth.round(6)]).score.mean().unstack("depth")
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.08, 1, len(lines)))
    for (_, line), shade in zip(lines.iterrows(), shades, strict=True):
        above.plot(line.index, line, color=shade, marker="o", ms=1.8, lw=0.9)
    above.set(xlabel=_DEPTH, ylabel=_label(shown), xlim=(-0.03, 1.03), ylim=(min(0, lines.min().min()), 1))
    found = rise(rows)
    unit = "steps" if np.isnan(found.epochs).any() else "epochs"
    style.points_bar(place, [above, below], shades, list(lines.index), unit, location="right", aspect=40, pad=0.02)
    points = np.where(found.axis > 0, found.axis, found.axis[found.axis > 0].min() / 2.5)
    for metric, ls, label in ((shown, "--", "alignment"), (ACCURACY, "-", "accuracy")):
        curve = found.curve(metric, ALL)
        if curve is not None:
            below.plot(points, curve.values, color="0.35", ls=ls, lw=0.9, label=label, zorder=1)
            below.scatter(points, curve.values, c=shades, s=9, zorder=2)
    below.set(xscale="log", xlabel=f"training ({unit}; first: untrained)", ylim=(0, 1))
    _legend(place, below, 2)


def _shifts(place: Any, rows: pd.DataFrame, shown: str) -> None:
    """D: within distribution, and the mean over shifts with its standard error."""
    axes = place.subplots()
    found = divergences(rows[rows.metric == shown])
    for i, d in enumerate(found):
        color, marker, label = _PROTOCOLS[d.protocol]
        if i == 0:
            axes.plot(d.depths, d.within.mean(axis=0), color="black", lw=1.2, label="within distribution")
        count = f"mean of {len(d.shifts)} shifts ± s.e., {label}"
        axes.errorbar(d.depths, d.mean, d.error, color=color, marker=marker, ms=3, capsize=1.5, lw=1, label=count)
    axes.set(xlabel=_DEPTH, ylabel=_label(shown), xlim=(-0.03, 1.03), ylim=(min(0, axes.get_ylim()[0]), 1))
    _legend(place, axes, 1)


def _accuracy(place: Any, rows: pd.DataFrame, shown: str) -> None:
    """E: correlation of alignment with accuracy over shifts, against depth."""
    axes = place.subplots()
    for d in divergences(rows[rows.metric == shown]):
        color, marker, label = _PROTOCOLS[d.protocol]
        r = correlation(d)
        if r.reason:
            axes.plot([], [], color=color, marker=marker, label=f"{label}: no number, {r.reason}")
            continue
        axes.fill_between(d.depths, r.low, r.high, color=color, alpha=0.15, linewidth=0)
        axes.plot(d.depths, r.pearson, color=color, marker=marker, ms=3, lw=1, label=f"{label}; band: 95 % over shifts")
    axes.axhline(0, color="0.6", lw=0.6, zorder=0)
    axes.set(
        xlabel=_DEPTH, ylabel="correlation of alignment\nwith accuracy over shifts", xlim=(-0.03, 1.03), ylim=(-1, 1)
    )
    _legend(place, axes, 1)
