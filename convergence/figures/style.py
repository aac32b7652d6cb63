"""One look for all figures: legible at one column's width, in grey, and to the colour-blind."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.metric import Freedom
from convergence.results import views as tables
from convergence.system.files import write_atomic

COLUMN = 3.4  # inches
_WIDTH = 62  # letters of a note in one column
_LEGIBLE = 5  # lines in one panel
_NAMED = 24  # layers up to which each is named on an axis
_MARKED = 30  # points of a line up to which each has its marker
_LETTERS = 20  # of a layer's name on an axis
DEPTH = "relative depth (0 first layer, 1 last)"


def look(metric: str) -> dict[str, Any]:
    """Colour, marker, line and label of a metric: they differ at once, and among those of one panel luminance too."""
    return catalogue.find(metric).style


def label(metric: str) -> str:
    """A metric's name, for people."""
    return catalogue.find(metric).label


def is_dark(metric: str) -> bool:
    """Whether only white letters are legible on the metric's colour."""
    red, green, blue = (int(look(metric)["color"][i : i + 2], 16) / 255 for i in (1, 3, 5))
    return bool(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.12)


def drawn(metrics: Iterable[str]) -> list[str]:
    """Each metric once, in the order in which they are drawn: those that apply to few layers after the others."""
    found = [(name, catalogue.find(name)) for name in catalogue.ordered(metrics)]
    return [name for name, metric in sorted(found, key=lambda one: (not one[1].paper, one[1].equal_widths))]


def groups(metrics: Iterable[str]) -> list[list[str]]:
    """Metrics that share a panel: all where they are few, else the paper's, and the others below."""
    there = drawn(metrics)
    if len(there) <= _LEGIBLE:
        return [there]
    return [part for paper in (True, False) if (part := [m for m in there if catalogue.find(m).paper is paper])]


def quantity(metrics: Iterable[str]) -> str:
    """What an axis of these metrics' scores says."""
    fitted = {catalogue.find(m).fitted for m in metrics}
    if fitted == {True}:
        return "alignment (held-out r)"
    return "similarity of held-out stimuli" if fitted == {False} else "alignment, similarity (held-out)"


def preferred(metrics: Sequence[str]) -> str:
    """The metric that a figure of one metric shows: Procrustes, as in the paper, where it was scored."""
    return catalogue.of_freedom(metrics, Freedom.rotation) or metrics[0]


def heatmaps(metrics: Iterable[str]) -> list[str]:
    """The metrics of Figure 1B, from top to bottom, as far as they were scored: Procrustes, and a matching."""
    there = list(metrics)
    found = [catalogue.of_freedom(there, freedom) for freedom in (Freedom.rotation, Freedom.matching)]
    return [metric for metric in found if metric is not None and not catalogue.find(metric).equal_widths]


def short(name: str, most: int = _LETTERS) -> str:
    """A layer's name in at most so many letters: the end tells more than the beginning."""
    return name if len(name) <= most else "…" + name[1 - most :]


def depth_axis(axes: Any, names: Mapping[float, str], label: str = DEPTH) -> None:
    """The horizontal axis of depth: with each layer's name where they are few, else with numbers.

    Parameters
    ----------
    names : the layers' names by their relative depth; empty where a depth has no one name.
    """
    axes.set(xlabel=label, xlim=(-0.03, 1.03))
    if 0 < len(names) <= _NAMED:
        axes.set_xticks(list(names), [short(name) for name in names.values()], rotation=90, fontsize=6)
        axes.set_xlabel("layer")


def marks(points: int) -> dict[str, Any]:
    """Markers of a line of so many points: fewer and smaller ones where they would hide it."""
    return {} if points <= _MARKED else {"markevery": -(-points // _MARKED) + 1, "markersize": 2.5}


def points_bar(place: Any, axes: Any, shades: Any, points: Sequence[float], label: str, **options: Any) -> None:
    """A colour bar of the points of training, one equal step each, of which a few are numbered."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    count = len(points)
    norm = BoundaryNorm([i - 0.5 for i in range(count + 1)], count) if count > 1 else None
    bar = place.colorbar(ScalarMappable(norm, ListedColormap(shades)), ax=axes, label=label, **options)
    numbered = sorted({round(i * (count - 1) / 5) for i in range(6)})
    bar.set_ticks(numbered, labels=[f"{points[i]:.2g}" for i in numbered])
    bar.minorticks_off()


@contextmanager
def pyplot() -> Iterator[Any]:
    """matplotlib.pyplot with the house's settings, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    settings: Any = {
        "font.size": 7.5,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "pdf.fonttype": 42,
        "figure.constrained_layout.use": True,
    }
    with plt.rc_context(settings):
        yield plt
        plt.close("all")


def note(figure: Any, table: pd.DataFrame, *parts: str) -> None:
    """Below the figure, small: which networks and images, how many, and what else there is to know."""
    row = table.iloc[0]
    size = f"M = {int(row.n_train + row.n_test):,}, {table.fold.nunique()} folds"
    lines = [*textwrap.wrap(tables.subject(table), _WIDTH), ""]
    for part in filter(None, (*parts, size)):
        joined = f"{lines[-1]};  {part}" if lines[-1] else part
        lines[-1:] = [joined] if len(joined) <= _WIDTH else [lines[-1], part]
    figure.supxlabel("\n".join(lines), fontsize=6.5, color="0.35")


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """``name.pdf`` and ``name.png``, each whole or not there, without a date inside."""
    paths = []
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        path, drawn = folder / f"{name}.{kind}", io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=300, metadata=metadata)
        write_atomic(path, lambda p, d=drawn: p.write_bytes(d.getvalue()))  # type: ignore[misc]
        paths.append(path)
    return paths
