"""The result in a few lines of text, 80 columns wide."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from convergence.figures import depth, style
from convergence.results import views as tables
from convergence.results.accuracy import correlation
from convergence.results.areas import best_layers
from convergence.results.divergence import LATE, REFIT, TRANSFER, Divergence, closure, divergences
from convergence.results.rise import ACCURACY, ALL, Curve, Rise, rise
from convergence.results.stimuli_sweep import curves


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


def _depth(table: pd.DataFrame) -> list[str]:
    """Mean held-out score of corresponding layers: first, middle and last, trained and untrained."""
    trained, before = tables.split(table)
    lines = [f"{'held-out score':<34}{'first layer':>12}{'middle':>10}{'last layer':>12}", "-" * 68]
    for title, part in (("", trained), (", untrained", before)):
        if part.empty:
            continue
        means, _ = depth.profile(part)
        for metric in style.drawn(means.metric):
            line = means[means.metric == metric].sort_values("depth")["mean"].tolist()
            if line:
                cells = f"{line[0]:>12.3f}{line[len(line) // 2]:>10.3f}{line[-1]:>12.3f}"
                lines.append(f"{metric + title:<34}{cells}")
    return lines + _accuracies(trained)


def _areas(table: pd.DataFrame) -> list[str]:
    """Each area's best layer: its score, what it would be without noise, and the ceiling."""
    lines = []
    for (source, metric), part in best_layers(table).groupby(["source_model", "metric"], sort=False):
        title = f"{source} → area, {metric}"
        lines += ["", f"{title:<40}{'best layer':<18}{'score':>7}{'corrected':>11}", "-" * 79]
        for row in part.itertuples():
            corrected = "" if np.isnan(row.corrected) else f"{row.corrected:.3f}"
            area = style.short(f"{row.target_model} {row.target_layer}", 38)
            lines.append(f"{area:<40}{style.short(row.source_layer, 17):<18}{row.score:>7.3f}{corrected:>11}".rstrip())
    return [*lines, "", "corrected: as of responses without noise, by their repeats.", ""]


def _accuracies(trained: pd.DataFrame) -> list[str]:
    """Each network's accuracy; with its model's name where there are several models."""
    source, _ = tables.ends(trained)
    accuracy = trained.groupby(source if trained.source_model.nunique() > 1 else trained.source_weights, sort=False)
    known = accuracy.source_accuracy.first().dropna()
    told = "accuracy: " + ", ".join(f"{name} {value:.1%}" for name, value in known.items())
    return textwrap.wrap(told, 80, subsequent_indent="  ") if len(known) else []


def _chance(rows: pd.DataFrame) -> list[str]:
    """Calibrated scores and p-values of corresponding layers, by null: first, middle and last."""
    rows = tables.corresponding(tables.split(rows)[0])
    depth_of = rows[["source_depth", "target_depth"]].mean(axis=1).round(6).rename("depth")
    lines = []
    for kind, part in rows.groupby("null"):
        title = f"beyond chance: {kind}, {part.draws.max():.0f} draws"
        lines += [f"{title:<34}{'first layer':>15}{'middle':>15}{'last layer':>15}", "-" * 79]
        found = part.groupby(["metric", depth_of]).agg(score=("score_calibrated", "mean"), p=("p_value", "max"))
        for metric in style.drawn(found.index.get_level_values("metric")):
            line = [f"{row.score:.3f}, p {row.p:.3f}" for row in found.loc[metric].itertuples()]
            lines.append(f"{metric:<34}" + "".join(f"{line[i]:>15}" for i in (0, len(line) // 2, -1)))
        lines.append("")
    return [*lines, "calibrated score, 0 at chance; p: the largest over pairs and directions.", ""] if lines else []


def _sweep(table: pd.DataFrame) -> list[str]:
    """Scores of few and of more stimuli: the mean over corresponding layers, the last few numbers of stimuli."""
    found = curves(table)
    if found.empty:
        return []
    means = found.pivot_table(index="metric", columns="samples", values="score", aggfunc="mean").iloc[:, -6:]
    scarce = found.groupby(["metric", "samples"]).scarce.any()
    lines = [f"{'mean over layers, by stimuli':<30}" + "".join(f"{m:>8,}" for m in means.columns), "-" * 79]
    for metric in style.drawn(means.index):
        cells = [f"{score:.3f}" + ("*" if scarce[metric, m] else " ") for m, score in means.loc[metric].items()]
        lines.append(f"{metric:<31}" + "".join(f"{cell:>8}" for cell in cells).rstrip())
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
    lines = [f"share of the eventual rise {after}" + (" [95 % over seeds]" if found.tells_seeds else "")]
    lines += [f"{'':<22}{'first layer':>19}{'last layer':>19}{'all layers':>19}", "-" * 79]
    for metric in metrics:
        cells = [_share(found.curve(metric, layer), one) for layer in (layers[1], layers[-1], ALL)]
        if any(cells):
            lines.append(f"{metric:<22}" + "".join(f"{cell:>19}" for cell in cells))
    lines += [
        "",
        f"{'all layers':<22}{'untrained':>10}{'trained':>9}{'pixels':>8}{'half by':>15}{'90 % by':>15}",
        "-" * 79,
    ]
    pixels = table[table.source_model == tables.PIXELS].groupby("metric").score.mean()
    for curve in (c for metric in metrics if (c := found.curve(metric, ALL))):
        values = f"{curve.values[0]:>10.3f}{curve.values[-1]:>9.3f}"
        base = f"{pixels[curve.metric]:>8.3f}" if curve.metric in pixels else f"{'':>8}"
        when = "".join(f"{_when(curve, share, found):>15}" for share in (0.5, 0.9))
        lines.append(f"{curve.metric:<22}{values}{base}{when}")
    if not found.tells_seeds:
        lines.append("two seeds give no interval: add some with model.seeds.init=[0,1,2].")
    return lines


def _ood(table: pd.DataFrame) -> list[str]:
    """Within and out of distribution, first and last layer; where shifts bite; what refitting closes; Fig 1E."""
    every = divergences(table)
    lines = [
        f"{'held-out score':<32}{'first layer':^18}{'last layer':^17}{'bites':>12}",
        f"{'':<32}{'within':>8}{'shifted':>9}{'within':>9}{'shifted':>9}{'from':>12}",
        "-" * 79,
    ]
    for d in every:
        onset, within, mean = d.onset(), d.within.mean(axis=0), d.mean
        cells = f"{within[0]:>8.3f}{mean[0]:>9.3f}{within[-1]:>9.3f}{mean[-1]:>9.3f}"
        place = "nowhere" if onset is None else style.short(d.layers[onset], 11)
        lines.append(f"{d.metric + ', ' + d.protocol:<32}{cells}{place:>12}")
    shifts = len(every[0].shifts) if every else 0
    lines += [
        "",
        f"{f'over {shifts} shifts':<32}{'r with accuracy':^22}{'refitting closes of':>25}",
        f"{'':<32}{'first layer':>12}{'last':>8}{'the late layers gap':>27}",
        "-" * 79,
    ]
    closed = {id(carried): closure(refit, carried) for refit, carried in _both_protocols(every)}
    for d in every:
        r, late = correlation(d), np.nan
        if id(d) in closed and not np.isnan(closed[id(d)].share[d.depths >= LATE]).all():
            late = float(np.nanmean(closed[id(d)].share[d.depths >= LATE]))
        first, last = ("—" if np.isnan(r.pearson[i]) else f"{r.pearson[i]:.2f}" for i in (0, -1))
        cells = f"{first:>12}{last:>8}"
        lines.append(f"{d.metric + ', ' + d.protocol:<32}{cells}" + ("" if np.isnan(late) else f"{late:>27.0%}"))
    reasons = {r.reason for r in map(correlation, every) if r.reason}
    return lines + [f"no correlation: {reason}" for reason in sorted(reasons)]


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
        return f"{curve.share[at]:.2f}"
    return f"{curve.share[at]:.2f} " + (f"[{low:.2f}, {high:.2f}]" if curve.bounded else "[no bounds]")


def _when(curve: Curve, share: float, found: Rise) -> str:
    at, _, _ = curve.reached(share, found.axis)
    return "no rise" if np.isnan(at) else f"{at:.3g} {'steps' if np.isnan(found.epochs).any() else 'epochs'}"
