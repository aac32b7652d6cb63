"""Fig 1C: alignment against depth, one line per checkpoint, with accuracy; the share of the rise; time × time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.figures import style
from convergence.results import views as tables
from convergence.results.numbers import number
from convergence.results.rise import ACCURACY, ALL, Rise, rise, same_point
from convergence.system.files import write_atomic

_log = logging.getLogger("convergence")
_CUT = (-1.2, 2.2)  # shares of the rise that are drawn
_LAYERS = (("black", "o"), ("#D55E00", "s"), ("#56B4E9", "^"))  # looks of the first, a middle and the last layer


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``training_profile``, ``training_rise`` and, of runs with cross_time, ``training_time``, as PDF and PNG.

    The numbers behind them are ``rise.csv`` (each checkpoint) and ``milestones.csv`` (half and 90 % of the rise).
    """
    if tables.point(same_point(table), "source").nunique() < 2:
        _log.info("axis=training: no two networks stand at two same points of training: there is nothing to draw.")
        return []
    shown = style.preferred(list(table.metric.unique()))
    found = rise(table)
    paths = _profile(table, found, shown, folder) + _rise(table, found, folder)
    rows = tables.networks(table)
    if (tables.point(rows, "source") != tables.point(rows, "target")).any():
        paths += _time(rows[rows.metric == shown], found, shown, folder)
    for name, numbers in (("rise", found.points()), ("milestones", found.milestones())):
        path = folder / f"{name}.csv"
        write_atomic(path, lambda p, t=numbers: t.to_csv(p, index=False, float_format="%.6g"))  # type: ignore[misc]
        paths.append(path)
    return paths


def _shades(count: int) -> Any:
    """From light (early) to dark (late)."""
    import matplotlib

    return matplotlib.colormaps["viridis_r"](np.linspace(0.08, 1.0, count))


def _place(points: np.ndarray) -> np.ndarray:
    """Where a point of training is drawn: logarithmic, with step 0 one stride before the first."""
    first = points[points > 0].min()
    return np.log10(np.where(points > 0, points, first / 2.5))


def _training_axis(axes: Any, found: Rise) -> None:
    points = found.axis
    places = _place(points)
    wanted = [p for p in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1e3, 1e4, 1e5) if points[1] <= p <= points[-1]]
    ticks, names = list(np.log10(wanted)), [f"{p:g}" for p in wanted]
    if points[0] == 0:
        ticks, names = [places[0], *ticks], ["0", *names]
    axes.set_xticks(ticks, names)
    axes.set_xlim(places[0] - 0.05, places[-1] + 0.05)
    axes.set_xlabel(f"training ({_unit(found)})")


def _unit(found: Rise) -> str:
    return "steps" if np.isnan(found.epochs).any() else "epochs"


def _profile(table: pd.DataFrame, found: Rise, metric: str, folder: Path) -> list[Path]:
    rows = same_point(table)
    rows = rows[rows.metric == metric]
    rows = rows.assign(
        point=tables.point(rows, "source"), depth=rows[["source_depth", "target_depth"]].mean(axis=1).round(6)
    )
    lines = rows.groupby(["point", "depth"]).score.mean().unstack("depth")
    shades = _shades(len(lines))
    with style.pyplot() as plt:
        figure, (above, below) = plt.subplots(2, 1, figsize=(style.COLUMN, 4.3), height_ratios=(3, 2))
        few = {"marker": "o", "ms": 2} if len(lines.columns) <= 30 else {}
        for (_, line), shade in zip(lines.iterrows(), shades, strict=True):
            above.plot(line.index, line, color=shade, lw=1, clip_on=False, **few)
        style.points_bar(figure, above, shades, list(lines.index), f"training ({_unit(found)})", aspect=30, pad=0.02)
        pixels = table[(table.source_model == tables.PIXELS) & (table.metric == metric)]
        if len(pixels):
            line = pixels.groupby("target_depth").score.mean()
            above.plot(line.index, line, color="0.45", ls=":", lw=1, label="raw pixels")
        name = style.label(metric)
        above.set_ylabel(f"{name}\n{style.quantity([metric])}")
        same = rows[rows.source_layer == rows.target_layer].drop_duplicates("source_layer")
        names = dict(sorted(zip(same.depth, same.source_layer, strict=True)))
        style.depth_axis(above, names if len(names) == len(lines.columns) else {})
        above.set_ylim(min(0.0, float(lines.min().min())), 1.0)
        if len(pixels):
            above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=6.5)
        _beside(below, found, metric, shades)
        style.note(figure, table)
        return style.save(figure, folder, "training_profile")


def _beside(axes: Any, found: Rise, metric: str, shades: Any) -> None:
    """Accuracy and mean alignment along training, dots in the colours of the lines above."""
    places = _place(found.axis)
    for name, label, ls, mark in (
        (metric, f"{style.label(metric)}, all layers", "--", "s"),
        (ACCURACY, "accuracy", "-", "o"),
    ):
        curve = found.curve(name, ALL)
        if curve is not None:
            axes.plot(places, curve.values, color="0.3", lw=0.9, ls=ls, label=label, zorder=2)
            axes.scatter(
                places,
                curve.values,
                c=shades,
                s=14,
                marker=mark,
                zorder=3,
                clip_on=False,
                edgecolors="0.3",
                linewidths=0.4,
            )
    _training_axis(axes, found)
    axes.set(ylabel="accuracy, alignment", ylim=(0, 1))
    axes.legend(loc="best", frameon=False, fontsize=6.5, handlelength=2.6)


def _rise(table: pd.DataFrame, found: Rise, folder: Path) -> list[Path]:
    """Share of the eventual rise: of all layers, of the first and of the last."""
    layers = [c.layer for c in found.curves if c.metric == found.curves[0].metric]
    titles = {ALL: ALL, layers[1]: f"first layer ({layers[1]})", layers[-1]: f"last layer ({layers[-1]})"}
    accuracy = found.curve(ACCURACY, ALL)
    shown = {m: style.look(m) for m in style.groups(c.metric for c in found.curves)[0]}  # the others are in rise.csv
    places, cut, unbounded = _place(found.axis), False, False
    with style.pyplot() as plt:
        figure, panels = plt.subplots(len(titles), 1, figsize=(style.COLUMN, 1.6 * len(titles) + 0.8), sharex=True)
        for axes, (layer, title) in zip(np.atleast_1d(panels), titles.items(), strict=True):
            looks = {**shown, ACCURACY: {"color": "black", "marker": "D", "linestyle": "-", "label": "accuracy"}}
            flat = []
            for metric, look in looks.items():
                curve = accuracy if metric == ACCURACY else found.curve(metric, layer)
                if curve is None:
                    continue
                if not curve.rises:
                    flat.append(look["label"])
                    continue
                unbounded |= not curve.bounded
                if curve.bounded:
                    axes.fill_between(places, *curve.share_interval, color=look["color"], alpha=0.15, linewidth=0)
                axes.plot(places, curve.share, **look, lw=1, ms=2.5)
            axes.axhline(1, color="0.7", lw=0.6, zorder=0)
            axes.axhline(0, color="0.7", lw=0.6, zorder=0)
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, _CUT[0]), min(high, _CUT[1]))  # a fall far below the start must not flatten the rise
            cut |= low < _CUT[0] or high > _CUT[1]
            if flat:
                said = f"no rise beyond noise: {', '.join(flat)}"
                axes.text(0, 1.02, said, transform=axes.transAxes, va="bottom", fontsize=6, color="0.35")
            axes.set_ylabel(title.replace(" (", "\n("))
        _training_axis(np.atleast_1d(panels)[-1], found)
        figure.supylabel("share of the eventual rise", fontsize=7.5)
        handles = {
            h.get_label(): h for axes in np.atleast_1d(panels) for h in axes.lines if not h.get_label().startswith("_")
        }
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=3, frameon=False, handlelength=2.6)
        band = "band: 95 % interval over seeds" if found.tells_seeds else "too few seeds for an interval"
        if unbounded:
            band += " (none: no bounds)"
        style.note(figure, table, band, *([f"cut at {number(_CUT[0], 1)} and {number(_CUT[1], 1)}"] if cut else []))
        return style.save(figure, folder, "training_rise")


def _time(rows: pd.DataFrame, found: Rise, metric: str, folder: Path) -> list[Path]:
    """Seed A at one point with seed B at another, first, middle and last layer; and each run with its own end."""
    rows = rows.assign(s=tables.point(rows, "source"), t=tables.point(rows, "target"))
    source, target = tables.ends(rows)
    between, own = rows[source != target], rows[source == target]
    layers = between.drop_duplicates("source_layer").sort_values("source_depth").source_layer.tolist()
    chosen = list(dict.fromkeys([layers[0], layers[len(layers) // 2], layers[-1]]))
    with style.pyplot() as plt:
        figure, panels = plt.subplots(2, 2, figsize=(2 * style.COLUMN, 5.6))
        image = None
        for axes, layer in zip(panels.flat, chosen, strict=False):
            cells = between[between.source_layer == layer].pivot_table(index="s", columns="t", values="score")
            image = axes.imshow(cells, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto")
            names = [f"{p:.2g}" if p < 1 else f"{p:g}" for p in cells.index]
            places = np.arange(0, len(names), max(1, -(-len(names) // 18)))
            axes.set_xticks(places, [names[i] for i in places], rotation=90, fontsize=6)
            axes.set_yticks(places, [names[i] for i in places], fontsize=6)
            axes.spines[:].set_visible(False)
            axes.set_ylabel(f"source network at ({_unit(found)})")
            axes.set_xlabel(f"target network at ({_unit(found)})\n{style.short(layer, 30)}")
        for axes in list(panels.flat)[len(chosen) : 3]:
            axes.axis("off")
        figure.colorbar(
            image,
            ax=panels[:, 0],
            label=f"{style.label(metric)}: {style.quantity([metric])}",
            shrink=0.6,
            location="left",
        )
        _own(panels[1, 1], own, between, chosen, found)
        style.note(figure, rows)
        return style.save(figure, folder, "training_time")


def _own(axes: Any, own: pd.DataFrame, between: pd.DataFrame, layers: list[str], found: Rise) -> None:
    """With one's own end, and with another network's."""
    from matplotlib.lines import Line2D

    points = found.axis
    for layer, (color, mark) in zip(layers, _LAYERS, strict=False):
        for rows, ls in ((own, "-"), (between, "--")):
            to_end = rows[(rows.source_layer == layer) & (rows.t == points[-1])].groupby("s").score.mean()
            axes.plot(_place(points), to_end.reindex(points), color=color, ls=ls, lw=1, marker=mark, ms=2.5)
    _training_axis(axes, found)
    axes.set(ylim=(0, 1.02), ylabel="alignment with the end of training")
    looks = [Line2D([], [], color=color, marker=mark, ms=3) for color, mark in _LAYERS[: len(layers)]]
    looks += [Line2D([], [], color="0.3", ls=ls) for ls in ("-", "--")]
    names = [*layers, "its own end", "another network's"]
    axes.legend(
        looks, names, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=6.5, handlelength=2.4
    )
