"""One look for all figures: legible at one column's width, in grey, and to the colour-blind."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.results import views as tables
from convergence.system.files import write_atomic

COLUMN = 3.4  # inches
_WIDTH = 62  # letters of a note in one column
# Colour, marker and line differ at once, and among those of one panel luminance too. Drawn in this order.
LOOKS = {
    "linear": {"color": "#E69F00", "marker": "o", "linestyle": "-", "label": "linear"},
    "procrustes": {"color": "#009E73", "marker": "s", "linestyle": "--", "label": "Procrustes"},
    "soft_matching": {"color": "#0072B2", "marker": "^", "linestyle": "-.", "label": "soft matching"},
    "permutation": {"color": "#332288", "marker": "x", "linestyle": ":", "label": "permutation"},
    "partial_soft_matching": {"color": "#56B4E9", "marker": "v", "linestyle": "-", "label": "partial matching"},
    "cca": {"color": "#CC79A7", "marker": "D", "linestyle": "--", "label": "CCA"},
    "pwcca": {"color": "#882255", "marker": "d", "linestyle": ":", "label": "PWCCA"},
    "cka": {"color": "#D55E00", "marker": "P", "linestyle": "-.", "label": "CKA"},
    "rsa": {"color": "#DDCC77", "marker": "*", "linestyle": "-", "label": "RSA"},
    "mutual_knn": {"color": "#000000", "marker": "+", "linestyle": "--", "label": "mutual k-NN"},
}
_LEGIBLE = 5  # lines in one panel


def groups(metrics: Iterable[str]) -> list[list[str]]:
    """Metrics that share a panel: all where they are few, else the paper's, and the others below."""
    there = [m for m in LOOKS if m in set(metrics)]
    if len(there) <= _LEGIBLE:
        return [there]
    return [part for part in ([m for m in there if m in METRICS], [m for m in there if m not in METRICS]) if part]


def quantity(metrics: Iterable[str]) -> str:
    """What an axis of these metrics' scores says."""
    fitted = {MEASURES[m].fitted for m in metrics}
    if fitted == {True}:
        return "alignment (held-out r)"
    return "similarity of held-out stimuli" if fitted == {False} else "alignment, similarity (held-out)"


def preferred(metrics: Sequence[str]) -> str:
    """The metric that a figure of one metric shows: Procrustes, as in the paper, where it was scored."""
    return "procrustes" if "procrustes" in metrics else metrics[0]


def short(name: str, most: int) -> str:
    """A layer's name in at most so many letters: the end tells more than the beginning."""
    return name if len(name) <= most else "…" + name[1 - most :]


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
    for part in (*parts, size):
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
