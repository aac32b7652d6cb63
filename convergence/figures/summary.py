"""The result in a few lines of text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from convergence.figures import depth, named_layers, style
from convergence.figures.named_layers import FIRST, LAST, MIDDLE
from convergence.results import views as tables
from convergence.results.accuracy import correlation
from convergence.results.areas import best_layers
from convergence.results.divergence import LATE, REFIT, TRANSFER, Divergence, closure, divergences
from convergence.results.numbers import number, percent
from convergence.results.rise import ACCURACY, ALL, Curve, Rise, rise
from convergence.results.stimuli_sweep import curves
from convergence.system import terminal


def summary(table: pd.DataFrame) -> str:
    """What the run found, axis by axis."""
    recorded = tables.recorded(table)
    areas = _areas(tables.observed(table[recorded])) if recorded.any() else []
    table = table[~recorded]
    texts = {"depth": _depth, "training": _training, "ood": _ood}
    parts = [["", *texts[str(axis)](rows), ""] for axis, rows in tables.observed(table).groupby("axis")]
    chance = tables.chance(table[table.axis == "depth"])
    sweep = _sweep(table[table.axis == "depth"])
    return "\n".join(line for part in [areas, *parts, _chance(chance), sweep] for line in part)


def _numbers(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of numbers, its first column what they are of."""
    return terminal.table(rows, heads=(title, *heads), right=range(1, len(heads) + 1), folded=0)


def _depth(table: pd.DataFrame) -> list[str]:
    """Mean held-out score of corresponding layers: first, middle and last, trained and untrained."""
    trained, before = tables.split(table)
    rows, columns = [], {}
    for title, part in (("", trained), (", untrained", before)):
        if part.empty:
            continue
        means, _ = depth.profile(part)
        for metric in style.drawn(means.metric):
            found = means[means.metric == metric].sort_values("depth")
            line = found["mean"].tolist()
            if line:
                if metric not in columns:
                    own = part[part.metric == metric]
                    columns[metric] = named_layers.at(tables.corresponding(own), found.depth.tolist())
                rows.append([metric + title, *(number(line[i], 3) for i in (0, len(line) // 2, -1))])
    told = named_layers.lines(columns)
    return [*_numbers("held-out score", (FIRST, MIDDLE, LAST), rows), *told, *_accuracies(trained)]


def _areas(table: pd.DataFrame) -> list[str]:
    """Each area's best layer: its score, what it would be without noise, and the ceiling."""
    best = best_layers(table)
    repeated = bool(best.corrected.notna().any())
    lines = []
    for (source, metric), part in best.groupby(["source_model", "metric"], sort=False):
        rows = [
            [
                style.short(f"{row.target_model} {row.target_layer}", 38),
                style.short(row.source_layer, 17),
                number(row.score, 3),
                *(["" if np.isnan(row.corrected) else number(row.corrected, 3)] if repeated else []),
            ]
            for row in part.itertuples()
        ]
        heads = (f"{source} → area, {metric}", "best layer", "score", *(["corrected"] if repeated else []))
        lines += ["", *terminal.table(rows, heads=heads, right=range(2, len(heads)), folded=0)]
    foot = ["corrected: as of responses without noise, by their repeats.", ""] if repeated else []
    return [*lines, "", *foot]


def _accuracies(trained: pd.DataFrame) -> list[str]:
    """Each network's accuracy; with its model's name where there are several models."""
    source, _ = tables.ends(trained)
    accuracy = trained.groupby(source if trained.source_model.nunique() > 1 else trained.source_weights, sort=False)
    known = accuracy.source_accuracy.first().dropna()
    told = "accuracy: " + ", ".join(f"{name} {percent(value, 1)}" for name, value in known.items())
    return textwrap.wrap(told, 80, subsequent_indent="  ") if len(known) else []


def _chance(rows: pd.DataFrame) -> list[str]:
    """Calibrated scores and p-values of corresponding layers, by null: first, middle and last."""
    rows = tables.corresponding(tables.split(rows)[0])
    depth_of = rows[["source_depth", "target_depth"]].mean(axis=1).round(6).rename("depth")
    lines = []
    for kind, part in rows.groupby("null"):
        found = part.groupby(["metric", depth_of]).agg(score=("score_calibrated", "mean"), p=("p_value", "max"))
        cells, columns = [], {}
        for metric in style.drawn(found.index.get_level_values("metric")):
            line = [f"{number(row.score, 3)}, p {number(row.p, 3)}" for row in found.loc[metric].itertuples()]
            cells.append([metric, *(line[i] for i in (0, len(line) // 2, -1))])
            columns[metric] = named_layers.at(part[part.metric == metric], found.loc[metric].index.tolist())
        title = f"beyond chance: {kind}, {part.draws.max():.0f} draws"
        lines += [title, *_numbers("", (FIRST, MIDDLE, LAST), cells), *named_layers.lines(columns), ""]
    return [*lines, "calibrated score, 0 at chance; p: the largest over pairs and directions.", ""] if lines else []


def _sweep(table: pd.DataFrame) -> list[str]:
    """Scores of few and of more stimuli: the mean over corresponding layers, the last few numbers of stimuli."""
    if (table.n_train + table.n_test).nunique() < 2 or (found := curves(table)).empty:
        return []
    means = found.pivot_table(index="metric", columns="samples", values="score", aggfunc="mean").iloc[:, -6:]
    scarce = found.groupby(["metric", "samples"]).scarce.any()
    rows = [
        [metric, *(number(score, 3) + ("*" if scarce[metric, m] else " ") for m, score in means.loc[metric].items())]
        for metric in style.drawn(means.index)
    ]
    lines = _numbers("mean over layers, by stimuli", [f"{m:,} " for m in means.columns], rows)
    if scarce.any():
        lines.append("* some layer has as many units as stimuli to fit on: this says nothing.")
    return [*lines, ""]


def _training(table: pd.DataFrame) -> list[str]:
    """Share of the rise after one epoch, where half and 90 % of it are there, and the baselines."""
    found = rise(table)
    unit = "steps" if np.isnan(found.epochs).any() else "epochs"
    metrics = [*style.drawn(c.metric for c in found.curves if c.metric != ACCURACY), ACCURACY]
    one = int(np.argmin(np.abs(found.axis - 1))) if unit == "epochs" else len(found.axis) // 2
    layers = [c.layer for c in found.curves if c.metric == found.curves[0].metric]
    after = f"after {found.axis[one]:g} {unit.removesuffix('s') if found.axis[one] == 1 else unit}"
    title = f"share of the eventual rise {after}" + (" [95 % over seeds]" if found.tells_seeds else "")
    cells = [[m, *(_share(found.curve(m, layer), one) for layer in (layers[1], layers[-1], ALL))] for m in metrics]
    shares = _numbers("", (FIRST, LAST, "all layers"), [row for row in cells if any(row[1:])])
    pixels = table[table.source_model == tables.PIXELS].groupby("metric").score.mean()
    rows = []
    for curve in (c for metric in metrics if (c := found.curve(metric, ALL))):
        base = number(pixels[curve.metric], 3) if curve.metric in pixels else ""
        ends = (number(curve.values[0], 3), number(curve.values[-1], 3), base)
        rows.append([curve.metric, *ends, *(_when(curve, share, found) for share in (0.5, 0.9))])
    lines = [
        title,
        *shares,
        *named_layers.lines({"": (layers[1], layers[-1])}, (FIRST, LAST)),
        "",
        *_numbers("all layers", ("untrained", "trained", "pixels", "half by", "90 % by"), rows),
    ]
    if not found.tells_seeds:
        lines.append("two seeds give no interval: add some with model.seeds.init=[0,1,2].")
    return lines


def _ood(table: pd.DataFrame) -> list[str]:
    """Within and out of distribution, first and last layer; where shifts bite; what refitting closes; Fig 1E."""
    every = divergences(table)
    closed = {carried.metric: closure(refit, carried) for refit, carried in _both_protocols(every)}
    correlations = [correlation(d) for d in every]
    scores, others = [], []
    for d, r in zip(every, correlations, strict=True):
        name, onset = f"{d.metric}, {d.protocol}", d.onset()
        within, shifted = d.within.mean(axis=0), d.mean
        place = "nowhere" if onset is None else style.short(d.layers[onset], 16)
        scores.append([name, *(number(value[i], 3) for i in (0, -1) for value in (within, shifted)), place])
        ends = [number(r.pearson[i]) for i in (0, -1)]
        late = (
            closed[d.metric].share[d.depths >= LATE] if d.protocol == TRANSFER and d.metric in closed else np.array([])
        )
        others.append([name, *ends, percent(np.nanmean(late)) if np.isfinite(late).any() else ""])
    heads = (FIRST, "shifted", LAST, "shifted", "gap begins at")
    shifts = f"over {len(every[0].shifts) if every else 0} shifts"
    rest = ("r, first layer", "r, last layer", "refitting closes")
    named = named_layers.lines({d.metric: (d.layers[0], d.layers[-1]) for d in every}, (FIRST, LAST))
    lines = [*_numbers("held-out score", heads, scores), *named, "", *_numbers(shifts, rest, others)]
    lines.append("r: of score with accuracy; refitting closes so much of the late layers' gap.")
    return lines + [f"no correlation: {reason}" for reason in sorted({r.reason for r in correlations if r.reason})]


def _both_protocols(every: list[Divergence]) -> list[tuple[Divergence, Divergence]]:
    return [
        (a, b) for a in every for b in every if a.metric == b.metric and (a.protocol, b.protocol) == (REFIT, TRANSFER)
    ]


def _share(curve: Curve | None, at: int) -> str:
    if curve is None:
        return ""
    if not curve.rises:
        return "no rise"
    low, high = (end[at] for end in curve.share_interval)
    if np.isnan(low):
        return number(curve.share[at])
    return f"{number(curve.share[at])} " + (f"[{number(low)}, {number(high)}]" if curve.bounded else "[no bounds]")


def _when(curve: Curve, share: float, found: Rise) -> str:
    at, _, _ = curve.reached(share, found.axis)
    if np.isnan(at):
        return "no rise"
    unit, told = "step" if np.isnan(found.epochs).any() else "epoch", f"{at:.3g}"
    return f"{told} {unit}{'' if told == '1' else 's'}"
