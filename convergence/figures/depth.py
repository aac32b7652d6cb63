"""Fig 1A: score against depth, per metric. Fig 1B: layer × layer heatmaps, Procrustes above soft matching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.metric import Freedom
from convergence.figures import ladder, style
from convergence.results import views as tables

_DOTTED = (0, (1, 1.5))


def draw(table: pd.DataFrame, folder: Path, chance: pd.DataFrame) -> list[Path]:
    """``depth_profile``, ``depth_heatmaps`` and, where its rungs were scored, ``ladder``, as PDF and PNG.

    Of the rows of ``chance`` those of the depth axis are drawn.
    """
    trained, before = tables.split(table)
    paths = _profile(trained, before, chance[chance.axis == "depth"], folder)
    shown = style.heatmaps(trained.metric) or [str(trained.metric.iloc[0])]
    return paths + _heatmaps(trained, shown, folder) + ladder.draw(table, folder)


def profile(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Mean, low and high score per metric and depth, and what the band is over.

    Both directions are averaged first. The band is one standard deviation over pairs of networks, over folds if there
    is one pair.
    """
    rows = tables.corresponding(table)
    rows = rows.assign(pair=tables.pair(rows), depth=rows[["source_depth", "target_depth"]].mean(axis=1).round(6))
    over = "pair" if rows.pair.nunique() > 1 else "fold"
    means = rows.groupby(["metric", "depth", over]).score.mean().groupby(["metric", "depth"]).agg(["mean", "std"])
    means["std"] = means["std"].fillna(0)
    return means.reset_index(), f"{rows.pair.nunique()} pairs of networks" if over == "pair" else "folds"


def layer_names(table: pd.DataFrame) -> dict[float, str]:
    """The corresponding layers' names by depth; empty where the two networks name theirs differently."""
    rows = tables.corresponding(table).drop_duplicates(["source_layer", "target_layer"])
    if not tables.named_alike(rows):
        return {}
    return dict(sorted(zip(rows.source_depth, rows.source_layer, strict=True)))


def thresholds(chance: pd.DataFrame) -> pd.DataFrame:
    """Mean τ per null, metric and depth, of corresponding layers of the trained pairs."""
    rows = tables.corresponding(tables.split(chance)[0])
    depth = rows[["source_depth", "target_depth"]].mean(axis=1).round(6)
    return rows.groupby(["null", "metric", depth.rename("depth")]).null_quantile.mean().reset_index()


def _profile(trained: pd.DataFrame, before: pd.DataFrame, chance: pd.DataFrame, folder: Path) -> list[Path]:
    means, over = profile(trained)
    baseline = profile(before)[0] if len(before) else means.iloc[:0]
    taus = thresholds(chance)
    groups = style.groups(means.metric)
    with style.pyplot() as plt:
        names = layer_names(trained)
        size = (style.COLUMN, 2.7 * len(groups) + (0.5 if names else 0))
        figure, panels = plt.subplots(len(groups), 1, figsize=size, sharex=True, squeeze=False)
        for axes, metrics in zip(panels[:, 0], groups, strict=True):
            _lines(axes, *(part[part.metric.isin(metrics)] for part in (means, baseline, taus)))
            axes.set_ylabel(style.quantity(metrics))
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, columnspacing=1.2)
        style.depth_axis(panels[-1, 0], names)
        style.note(figure, trained, f"band: ± 1 s.d. over {over}")
        return style.save(figure, folder, "depth_profile")


def _lines(axes: Any, means: pd.DataFrame, baseline: pd.DataFrame, taus: pd.DataFrame) -> None:
    """One line per metric with its band; faintly that of the untrained pair, and dotted what chance reaches."""
    for metric in style.drawn(means.metric):
        look, line = style.look(metric), means[means.metric == metric].sort_values("depth")
        band = (line["mean"] - line["std"], line["mean"] + line["std"])
        axes.fill_between(line.depth, *band, color=look["color"], alpha=0.18, linewidth=0)
        hollow = {"markerfacecolor": "white"} if catalogue.find(metric).freedom is Freedom.matching else {}
        few = style.marks(len(line))
        axes.plot(line.depth, line["mean"], clip_on=False, zorder=3, **look, **hollow, **few)
        faint = baseline[baseline.metric == metric].sort_values("depth")
        axes.plot(faint.depth, faint["mean"], color=look["color"], linestyle=look["linestyle"], alpha=0.4, lw=0.8)
    for (_, metric), line in taus.groupby(["null", "metric"]):
        color = style.look(str(metric))["color"]
        axes.plot(line.depth, line.null_quantile, color=color, ls=_DOTTED, alpha=0.6, lw=0.8)
    if len(baseline):
        axes.plot([], [], color="0.5", lw=0.8, label="untrained pair")
    if len(taus):
        axes.plot([], [], color="0.5", lw=0.8, ls=_DOTTED, label="chance (τ)")
    low = min(0.0, float(np.nanmin([means["mean"].min(), baseline["mean"].min() if len(baseline) else 0])))
    axes.set_ylim(low, 1.0)


def grid(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean score by source layer (rows) and target layer (columns), both in forward order.

    Within one architecture both directions and all pairs are averaged; across, the first model is the source.
    """
    rows = table[table.metric == metric]
    if rows.source_model.nunique() > 1:
        rows = rows[rows.direction == "x->y"]
    cells = rows.pivot_table(index="source_layer", columns="target_layer", values="score", aggfunc="mean")
    sources = rows.drop_duplicates("source_layer").sort_values("source_depth").source_layer
    targets = rows.drop_duplicates("target_layer").sort_values("target_depth").target_layer
    return cells.reindex(index=sources, columns=targets)


def _heatmaps(table: pd.DataFrame, metrics: list[str], folder: Path) -> list[Path]:
    grids = {metric: grid(table, metric) for metric in metrics}
    tallest = max(len(g) for g in grids.values())
    height = min(4.2, max(2.2, 0.28 * tallest + 1.0))
    with style.pyplot() as plt:
        figure, panels = plt.subplots(len(metrics), 1, figsize=(style.COLUMN, height * len(metrics)), squeeze=False)
        top = max(float(np.nan_to_num(g.max().max())) for g in grids.values())
        image = None
        for axes, (metric, cells) in zip(panels[:, 0], grids.items(), strict=True):
            image = axes.imshow(cells, cmap="cividis", vmin=0, vmax=max(top, 1e-6), aspect="auto")
            _mark(axes, cells.to_numpy())
            _ticks(axes, cells, table, style.label(metric))
        figure.colorbar(image, ax=panels, label=style.quantity(metrics), shrink=0.7, aspect=30)
        from matplotlib.lines import Line2D

        marks = [
            Line2D([], [], color="0.55", marker="o", markerfacecolor="white", markeredgecolor="black", lw=1),
            Line2D([], [], color="0.55", marker="x", markeredgecolor="red", lw=1, linestyle=":"),
        ]
        labels = ["best source for each target", "best target for each source"]
        figure.legend(marks, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=6.5)
        return style.save(figure, folder, "depth_heatmaps")


def _mark(axes: Any, cells: np.ndarray) -> None:
    """The maxima over rows (for each column) and over columns (for each row), joined by grey lines."""
    filled = np.nan_to_num(cells, nan=-np.inf)
    columns, rows = np.arange(cells.shape[1]), np.arange(cells.shape[0])
    by_column, by_row = (max(1.5, min(4.5, 110 / count)) for count in cells.shape[::-1])
    circle = {"marker": "o", "mfc": "white", "mec": "black", "mew": 0.6 if by_column > 3 else 0.4, "ms": by_column}
    cross = {"marker": "x", "mec": "red", "mew": 0.9 if by_row > 3 else 0.6, "ms": by_row}
    axes.plot(columns, filled.argmax(0), color="0.7", lw=1, **circle)
    axes.plot(filled.argmax(1), rows, color="0.7", lw=1, ls=":", **cross)


def _ticks(axes: Any, cells: pd.DataFrame, table: pd.DataFrame, metric: str) -> None:
    def every(names: pd.Index, most: int) -> np.ndarray:
        return np.arange(0, len(names), max(1, -(-len(names) // most)))

    axes.spines[:].set_visible(False)
    for axis, names, most in ((axes.yaxis, cells.index, 24), (axes.xaxis, cells.columns, 24)):
        places = every(names, most)
        axis.set_ticks(places, [style.short(str(names[i])) for i in places])
        axis.set_tick_params(length=0, labelsize=6.5 if len(places) <= 14 else 5.5)
    axes.tick_params(axis="x", rotation=90)
    across = table.source_model.nunique() > 1
    first = table[table.direction == "x->y"].iloc[0] if across else table.iloc[0]
    source, target = (
        f" ({style.short(str(m), 26)})" if across else "" for m in (first.source_model, first.target_model)
    )
    axes.set_ylabel(f"{metric}\nsource layer{source}")
    axes.set_xlabel(f"target layer{target}")
