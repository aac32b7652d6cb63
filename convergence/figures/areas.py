"""Recordings: all layers against all areas, and the best layer of each area beside what its repeats allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.figures import style
from convergence.results.areas import best_layers, grid, to_areas

_BAR = 0.155  # inches
_SHORT = 0.25  # of a bar, that a name does not fit into
_MOST = 60  # bars of one figure


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``areas_heatmaps`` and ``areas_best``, as PDF and PNG; of all metrics, the heat maps show two."""
    rows = to_areas(table)
    if rows.empty:
        return []
    shown = style.heatmaps(rows.metric) or [str(rows.metric.iloc[0])]
    return [*_heatmaps(rows, shown, folder), *_bars(rows, best_layers(table), folder)]


def _heatmaps(rows: pd.DataFrame, metrics: list[str], folder: Path) -> list[Path]:
    kinds = list(rows.groupby(["source_model", "target_model"], sort=False))
    grids = [[grid(part[part.metric == metric]) for metric in metrics] for _, part in kinds]
    heights = [min(4.0, 0.13 * len(row[0]) + 0.9) for row in grids]
    top = max(float(np.nanmax(cells.to_numpy())) for row in grids for cells in row)
    with style.pyplot() as plt:
        size = (2 * style.COLUMN if len(metrics) > 1 else style.COLUMN, sum(heights) + 0.6)
        figure, panels = plt.subplots(len(kinds), len(metrics), figsize=size, squeeze=False, height_ratios=heights)
        image: Any = None
        for ((source, target), _), row, line in zip(kinds, grids, panels, strict=True):
            for metric, cells, axes in zip(metrics, row, line, strict=True):
                image = axes.imshow(cells, cmap="cividis", vmin=0, vmax=max(top, 1e-6), aspect="auto")
                best = np.nan_to_num(cells.to_numpy(), nan=-np.inf).argmax(0)
                axes.plot(range(len(best)), best, ls="", marker="o", mfc="white", mec="black", mew=0.6, ms=4.5)
                axes.spines[:].set_visible(False)
                step = max(1, -(-len(cells) // 24))
                axes.set_yticks(range(0, len(cells), step), [style.short(str(n), 20) for n in cells.index[::step]])
                turned = sum(len(str(n)) for n in cells) > 24
                axes.set_xticks(range(cells.shape[1]), cells.columns, rotation=90 if turned else 0)
                axes.tick_params(length=0, labelsize=6.5)
                axes.set_xlabel(f"area of {style.short(str(target), 24)}, {style.label(metric)}")
            line[0].set_ylabel(f"layer of {style.short(str(source), 24)}")
        figure.colorbar(image, ax=panels, label=style.quantity(metrics), shrink=0.8, aspect=30)
        style.note(figure, rows, "circle: the best layer of each area")
        return style.save(figure, folder, "areas_heatmaps")


def _bars(rows: pd.DataFrame, best: pd.DataFrame, folder: Path) -> list[Path]:
    """One panel per model of the source; in it the areas, and for each a bar per metric with its layer's name."""
    metrics = style.drawn(best.metric)
    areas = best.groupby("source_model").apply(lambda part: part[["target_model", "target_layer"]].drop_duplicates())
    if len(areas) * len(metrics) > _MOST:
        metrics = [style.preferred(metrics)]
    best = best[best.metric.isin(metrics)]
    panels_of = list(best.groupby("source_model", sort=False))
    heights = [
        _BAR * (len(part) + 1.5 * part.groupby(["target_model", "target_layer"]).ngroups) for _, part in panels_of
    ]
    with style.pyplot() as plt:
        size = (1.35 * style.COLUMN, sum(heights) + 1.1 * len(heights))
        figure, panels = plt.subplots(len(heights), 1, figsize=size, squeeze=False, height_ratios=heights, sharex=True)
        for (source, part), axes in zip(panels_of, panels[:, 0], strict=True):
            _panel(axes, part, metrics)
            axes.set_ylabel(f"best layer of {style.short(str(source), 24)}")
        panels[-1, 0].set_xlabel(style.quantity(metrics))
        unique = {
            label: handle
            for axes in panels[:, 0]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(unique.values()), list(unique), loc="outside upper center", ncols=3, frameon=False)
        style.note(figure, rows, "bars: ± 1 s.d. over pairs, or over folds where there is one")
        return style.save(figure, folder, "areas_best")


def _panel(axes: Any, best: pd.DataFrame, metrics: list[str]) -> None:
    place, ticks = 0.0, {}
    several = best.target_model.nunique() > 1
    for (model, area), part in best.groupby(["target_model", "target_layer"], sort=False):
        bars = part.set_index("metric").reindex([m for m in metrics if m in set(part.metric)])
        places = place + np.arange(len(bars))
        for y, (metric, bar) in zip(places, bars.iterrows(), strict=True):
            look = style.look(str(metric))
            axes.barh(y, max(bar.score, 0), 0.9, color=look["color"], label=look["label"], alpha=0.75)
            if not np.isnan(bar.spread):
                axes.errorbar(bar.score, y, xerr=bar.spread, color="0.25", lw=0.7, capsize=1.5)
            if not np.isnan(bar.corrected):
                axes.plot(
                    *(bar.corrected, y),
                    **{"marker": "D", "ms": 3.2, "mfc": "white", "mec": "black", "mew": 0.7, "ls": ""},
                    **{"clip_on": False, "label": "corrected"},
                )
            _name(axes, bar, y, "white" if style.is_dark(str(metric)) else "black")
        ceiling = bars.ceiling.max()
        if not np.isnan(ceiling):
            axes.vlines(
                ceiling, places[0] - 0.6, places[-1] + 0.6, color="black", lw=1, ls=(0, (3, 1)), label="ceiling"
            )
        ticks[float(places.mean())] = f"{model} {area}" if several else str(area)
        place = places[-1] + 2.5
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set(
        ylim=(place - 1.5, -1.0),
        xlim=(0, max(1.0, best.corrected.max(skipna=True) if best.corrected.notna().any() else 0.0)),
    )
    axes.tick_params(axis="y", length=0)


def _name(axes: Any, bar: pd.Series, y: float, ink: str) -> None:
    """The layer's name in the bar, or beside one that is too short for it."""
    name, inside = style.short(str(bar.source_layer), 26), bar.score > _SHORT
    beside = np.nanmax([0.0, bar.score, bar.score + bar.spread, bar.corrected]) + 0.02
    look = {"fontsize": 5.5, "va": "center_baseline", "ha": "left", "color": ink if inside else "black"}
    axes.text(0.01 if inside else beside, y, name, **look)
