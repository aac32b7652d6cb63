"""Fig 1D: alignment within and out of distribution against depth. Fig 1E: its correlation with accuracy over shifts."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convergence.figures import style
from convergence.results.accuracy import correlation
from convergence.results.divergence import REFIT, TRANSFER, Divergence, closure, divergences
from convergence.system.files import write_atomic

_LOOKS = {
    REFIT: {"color": "#0072B2", "marker": "o", "label": "map refitted under each shift"},
    TRANSFER: {"color": "#D55E00", "marker": "s", "label": "map carried over from within"},
}
_NAMED = 4  # shifts that are named beside their lines: the lowest
_SPACING = 0.055  # between their names, in units of the axis


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``ood_profile`` and ``ood_correlation``, as PDF and PNG.

    The numbers behind them are ``divergence.csv`` (each layer), ``shifts.csv`` (each shift) and ``correlation.csv``.
    """
    every = divergences(table)
    if not every:
        return []
    shown = style.preferred(list(dict.fromkeys(d.metric for d in every)))
    found = [d for d in every if d.metric == shown]
    paths = _profile(table, found, folder) + _correlation(table, found, folder)
    for name, numbers in (("divergence", by_layer(every)), ("shifts", by_shift(every)), ("correlation", by_r(every))):
        path = folder / f"{name}.csv"
        write_atomic(path, lambda p, t=numbers: t.to_csv(p, index=False, float_format="%.6g"))  # type: ignore[misc]
        paths.append(path)
    return paths


def by_layer(every: list[Divergence]) -> pd.DataFrame:
    """One row per metric, protocol and layer: the gap, its p, and the share that refitting closes."""
    rows = []
    for d in every:
        refit = next((r for r in every if r.metric == d.metric and r.protocol == REFIT), None)
        closed = closure(refit, d) if d.protocol == TRANSFER and refit is not None else None
        for i, layer in enumerate(d.layers):
            row = {"metric": d.metric, "protocol": d.protocol, "layer": layer, "depth": d.depths[i]}
            row |= {"within": d.within.mean(axis=0)[i], "out": d.mean[i], "standard_error": d.error[i]}
            row |= {"gap": d.gap[i], "gap_p": d.gap_p()[i]}
            if closed is not None:
                row |= {"closed": closed.share[i], "closed_low": closed.low[i], "closed_high": closed.high[i]}
            rows.append(row)
    return pd.DataFrame(rows)


def by_shift(every: list[Divergence]) -> pd.DataFrame:
    """One row per metric, protocol and shift: accuracy, the mean gap, and the layer from which it bites."""
    rows = []
    for d in every:
        for s, shift in enumerate(d.shifts):
            onset = d.onset(shift)
            gap = d.within.mean(axis=0) - d.beyond[s].mean(axis=0)
            row = {"metric": d.metric, "protocol": d.protocol, "shift": shift, "accuracy": d.accuracy[:, s].mean()}
            row |= {"gap_first_layer": gap[0], "gap_last_layer": gap[-1], "gap_mean": gap.mean()}
            row["bites_from"] = "" if onset is None else d.layers[onset]
            rows.append(row)
    return pd.DataFrame(rows)


def by_r(every: list[Divergence]) -> pd.DataFrame:
    """One row per metric, protocol and layer: correlation of alignment with accuracy over shifts."""
    rows = []
    for d in every:
        r = correlation(d)
        for i, layer in enumerate(d.layers):
            row = {"metric": d.metric, "protocol": d.protocol, "layer": layer, "depth": d.depths[i]}
            row |= {"pearson": r.pearson[i], "pearson_low": r.low[i], "pearson_high": r.high[i]}
            rows.append(row | {"spearman": r.spearman[i], "shifts": r.points, "pairs": r.pairs, "reason": r.reason})
    return pd.DataFrame(rows)


def _profile(table: pd.DataFrame, found: list[Divergence], folder: Path) -> list[Path]:
    with style.pyplot() as plt:
        figure, panels = plt.subplots(
            len(found), 1, figsize=(style.COLUMN, 2.3 * len(found) + 0.4), sharex=True, squeeze=False
        )
        lowest = min(float(np.nanmin(d.beyond.mean(axis=1))) for d in found)
        for axes, d in zip(panels[:, 0], found, strict=True):
            _layers_of(axes, d)
            axes.set_ylim(min(0.0, lowest), 1.0)
        style.depth_axis(panels[-1, 0], _names(found[0]))
        figure.supylabel(f"{style.label(found[0].metric)}: {style.quantity([found[0].metric])}", fontsize=7.5)
        handles = {h.get_label(): h for axes in panels[:, 0] for h in axes.get_legend_handles_labels()[0]}
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=2, frameon=False, handlelength=2.4)
        pairs = len(found[0].accuracy)
        style.note(figure, table, f"{pairs} pair{'s' if pairs > 1 else ''}")
        return style.save(figure, folder, "ood_profile")


def _names(d: Divergence) -> dict[float, str]:
    """The layers' names by depth; none where the two networks name theirs differently."""
    return dict(zip(map(float, d.depths), d.layers, strict=True)) if d.named_alike else {}


def _layers_of(axes: Any, d: Divergence) -> None:
    """Within distribution, the mean over shifts with its standard error, each shift faint, and where shifts bite."""
    look = _LOOKS[d.protocol]
    lines = d.beyond.mean(axis=1)
    for name, line in zip(d.shifts, lines, strict=True):
        axes.plot(d.depths, line, color="0.72", lw=0.6, ls=":" if name in d.analogues else "-", zorder=1)
    axes.plot([], [], color="0.72", lw=0.6, label="single shifts")
    if d.analogues:
        axes.plot([], [], color="0.72", lw=0.8, ls=":", label="analogues")
    axes.plot(d.depths, d.within.mean(axis=0), color="black", lw=1.3, ls="--", label="within distribution", zorder=3)
    few = len(d.layers) <= 30
    bars = {"capsize": 2 if few else 0, "ms": 3.5 if few else 2, "elinewidth": 0.8, "marker": look["marker"]}
    axes.errorbar(d.depths, d.mean, d.error, color=look["color"], zorder=4, **bars)
    axes.errorbar([], [], [], color="0.3", label=f"mean of {len(d.shifts)} shifts ± s.e.", **bars)
    axes.set_ylabel(str(look["label"]), color=look["color"])
    _name_lowest(axes, d, lines)
    onset = d.onset()
    if onset is not None:
        axes.axvline(d.depths[onset], color="0.6", lw=0.7, ls=":", zorder=0)
        text = f"the mean gap exceeds its null from {style.short(d.layers[onset])} on"
        axes.set_title(text, loc="right", fontsize=6, color="0.35")  # above the panel: lines may run along its floor


def _name_lowest(axes: Any, d: Divergence, lines: np.ndarray) -> None:
    """The shifts under which alignment is lowest, beside the ends of their lines and not over one another."""
    chosen = sorted(np.argsort(lines.mean(axis=1))[:_NAMED], key=lambda s: lines[s, -1])
    low = -np.inf
    for s in chosen:
        low = max(lines[s, -1], low + _SPACING)
        axes.annotate(
            d.shifts[s],
            (1.03, low),
            xytext=(2, 0),
            textcoords="offset points",
            fontsize=5.5,
            color="0.4",
            va="center",
            annotation_clip=False,
        )


def _correlation(table: pd.DataFrame, found: list[Divergence], folder: Path) -> list[Path]:
    with style.pyplot() as plt:
        figure, axes = plt.subplots(figsize=(style.COLUMN, 3.4))
        why_not = correlation(found[0]).reason  # a matter of shifts and accuracies: the same in both protocols
        for d in [] if why_not else found:
            look, r = _LOOKS[d.protocol], correlation(d)
            axes.fill_between(d.depths, r.low, r.high, color=look["color"], alpha=0.15, linewidth=0)
            few = {"clip_on": False, **style.marks(len(d.depths))}
            axes.plot(d.depths, r.pearson, lw=1.2, **look, **few)
            axes.plot(d.depths, r.spearman, color=look["color"], lw=0.9, ls=":", marker="x", **few)
        if why_not:
            text = textwrap.fill(f"no correlation: {why_not}", 44)
            axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=6.5)
        else:
            axes.plot([], [], color="0.4", lw=0.9, ls=":", marker="x", ms=3, label="Spearman (solid: Pearson)")
            axes.axhline(0, color="0.6", lw=0.6, zorder=0)
        axes.set(ylim=(-1, 1))
        style.depth_axis(axes, _names(found[0]))
        axes.set_ylabel("correlation of alignment\nwith accuracy over shifts")
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper center", ncols=1, frameon=False, handlelength=2.4)
        d = found[0]
        pairs = f"{len(d.accuracy)} pair{'s' if len(d.accuracy) > 1 else ''}"
        band = [] if why_not else ["band: 95 % interval over shifts"]
        style.note(figure, table, *band, f"{len(d.shifts)} shifts × {pairs}")
        return style.save(figure, folder, "ood_correlation")
