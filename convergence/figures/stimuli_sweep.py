"""Convergence in M: score against the number of stimuli, first, middle and last layer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from convergence.figures import style
from convergence.results.stimuli_sweep import curves


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """``stimuli_sweep`` as PDF and PNG; nothing where no sweep was run."""
    found = curves(table)
    if found.empty:
        return []
    layers = shown(found)
    found = found[found.layer.isin(layers)]
    with style.pyplot() as plt:
        figure, panels = plt.subplots(1, len(layers), figsize=(2 * style.COLUMN, 2.4), sharey=True, squeeze=False)
        for axes, layer in zip(panels[0], layers, strict=True):
            here = found[found.layer == layer].sort_values("samples")
            for metric in style.drawn(here.metric):
                look, line = style.look(metric), here[here.metric == metric]
                axes.fill_between(line.samples, line.low, line.high, color=look["color"], alpha=0.18, linewidth=0)
                axes.plot(line.samples, line.score, **look)
                few = line[line.scarce]
                axes.plot(few.samples, few.score, "o", mfc="white", mec=look["color"], ms=6, zorder=4)
            part = found[found.layer == layer]
            axes.set_xscale("log")
            axes.set_xticks(
                sorted(part.samples.unique()), [f"{m:,}" for m in sorted(part.samples.unique())], rotation=45
            )
            axes.minorticks_off()
            axes.set_xlabel(f"stimuli\n{style.short(layer, 24)}, {part.units.max():.0f} units")
        panels[0][0].set_ylabel("alignment (held-out r)")
        handles, labels = panels[0][0].get_legend_handles_labels()
        if found.scarce.any():
            from matplotlib.lines import Line2D

            handles.append(Line2D([], [], ls="", marker="o", mfc="white", mec="0.4", ms=6))
            labels.append("fewer to fit on than units")
        figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False, handlelength=2.6)
        figure.supxlabel("band: ± 1 s.d. over folds", fontsize=7)
        return style.save(figure, folder, "stimuli_sweep")


def shown(found: pd.DataFrame) -> list[str]:
    """First, middle and last layer of the curves."""
    layers = found.drop_duplicates("layer").sort_values("depth").layer.tolist()
    return list(dict.fromkeys(layers[i] for i in (0, len(layers) // 2, -1)))
