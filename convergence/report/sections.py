"""What a report holds: for each data set its claims, what to know besides, and the figures of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from convergence import figures
from convergence.report.claims import CLAIMS
from convergence.report.evidence import Claim, judge
from convergence.results import views as tables
from convergence.system.errors import UserError

_KNOWN = {  # title, and what the figure shows
    "depth_profile": (
        "Alignment against depth",
        "Line chart: held-out score of corresponding layers against relative depth, one line per metric.",
    ),
    "depth_heatmaps": (
        "All layers against all layers",
        "Heat maps: held-out score, source layers down, target layers across, each layer's best match marked.",
    ),
    "training_profile": (
        "Alignment along training",
        "Line charts: held-out score against depth, one line per checkpoint; below, accuracy and mean score in time.",
    ),
    "training_rise": (
        "Share of the eventual rise",
        "Line charts: share of the rise in score and in accuracy against epochs, for all, first and last layers.",
    ),
    "ood_profile": (
        "Alignment under shift",
        "Line charts: held-out score against depth within distribution, under each shift and their mean, by protocol.",
    ),
    "ood_correlation": (
        "Alignment and accuracy under shift",
        "Line chart: correlation over shifts of score with accuracy, against depth, by protocol.",
    ),
    "areas_heatmaps": (
        "All layers against all areas",
        "Heat maps: held-out score from each layer to each recorded area, each area's best layer marked.",
    ),
    "areas_best": (
        "The best layer of each area",
        "Bar chart: held-out score of the layer that predicts each area best, with what its repeats allow.",
    ),
    "population": (
        "Who resembles whom",
        "Matrix: mean held-out score of every two networks, ordered by clustering; their tree; a map of distances.",
    ),
    "training_time": (
        "Each point of training against each other",
        "Heat maps: held-out score between every two points of training of two networks, three layers.",
    ),
}


@dataclass(frozen=True)
class Picture:
    """A figure: its file (PNG), its title, what it shows, and of which run."""

    path: Path
    title: str
    shows: str
    run: str


@dataclass(frozen=True)
class Section:
    """One data set."""

    dataset: str
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    pictures: tuple[Picture, ...]


def sections(table: pd.DataFrame, folder: Path) -> list[Section]:
    """One section per data set; p is adjusted over all of them. Figures are drawn under ``folder``.

    Raises
    ------
    UserError
        If there are no rows.
    """
    parts = [(str(name), rows) for name, rows in table.groupby("dataset")]
    if not parts:
        raise UserError("there are no rows to report on: run an experiment first.")
    judged = judge([claim.evidence(rows) for _, rows in parts for claim in CLAIMS])
    made = []
    for i, (name, rows) in enumerate(parts):
        claims = tuple(judged[i * len(CLAIMS) : (i + 1) * len(CLAIMS)])
        made.append(Section(name, claims, tuple(_notes(tables.observed(rows))), tuple(_pictures(rows, folder))))
    return made


def _notes(rows: pd.DataFrame) -> list[str]:
    """Which networks there are, and where numbers mean little."""
    networks = tables.networks(rows)
    named = networks[["source_model", "source_weights"]].set_axis(["model", "weights"], axis=1)
    both = pd.concat([named, networks[["target_model", "target_weights"]].set_axis(["model", "weights"], axis=1)])
    counts = both.drop_duplicates().groupby("model").size()
    notes = ["Networks: " + ", ".join(f"{n} of {model}" for model, n in counts.items()) + "."]
    units = networks[["source_units", "target_units"]].max(axis=1)
    wide = networks[units > networks.n_train]
    if len(wide):
        notes.append(
            f"Layers of up to {int(units.max()):,} units were fitted on as few as {int(wide.n_train.min()):,} "
            "stimuli: where there are fewer stimuli than units, linear and Procrustes scores are low for that "
            "reason alone."
        )
    recorded = int(tables.recorded(rows).sum())
    if recorded:
        notes.append(
            f"{recorded:,} rows have a recording at one end or both. The claims are about networks, their depth and "
            "their training, and leave these rows out; the figures of areas show them."
        )
    return notes


def _pictures(rows: pd.DataFrame, folder: Path) -> list[Picture]:
    """The figures of each run."""
    found = []
    for (axis, run), part in rows.groupby(["axis", "run"]):
        models = " × ".join(dict.fromkeys([*tables.networks(part).source_model, *tables.networks(part).target_model]))
        for path in figures.draw(part, folder / f"{axis}-{run}"):
            if path.suffix == ".png":
                known = "population" if path.stem.startswith("population_") else path.stem
                title, shows = _KNOWN.get(known, (path.stem.replace("_", " "), f"Figure of the {axis} axis."))
                found.append(Picture(path, title, shows, f"{models}, {axis}, run {run}"))
    return found
