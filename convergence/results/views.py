"""Views of the table of results that figures and statistics share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convergence.results.correspondence import of_corresponding
from convergence.results.sides import x_and_y

_ENDS = ("source", "target")
_LISTED = 40  # characters
PIXELS = "pixels"  # the model's name in rows of the raw-pixel baseline


_PLACE = [
    *("run", "axis", "condition", "level", "protocol"),
    *("source_model", "target_model", "source_layer", "target_layer"),
]


def observed(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the data themselves and of all stimuli: without those of chance, and of a sweep's fewer stimuli."""
    return table[table.null.isna() & ~of_fewer_stimuli(table)]


def chance(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that say how a score stands to a null, of all stimuli; without those of single draws."""
    return table[table.null.notna() & table.draw.isna() & ~of_fewer_stimuli(table)]


def of_fewer_stimuli(table: pd.DataFrame) -> pd.Series:
    """Which rows are of fewer stimuli than others of the same run, condition and pair of layers."""
    samples = table.n_train + table.n_test
    return samples < samples.groupby([table[name] for name in _PLACE], dropna=False).transform("max")


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of trained and of untrained pairs; where nothing is trained, the untrained ones are the subject."""
    before, area = ({e: table[f"{e}_{of}"] for e in _ENDS} for of in ("step", "depth"))
    untrained = (before["source"] == 0) & (before["target"] == 0)
    for end, other in (_ENDS, _ENDS[::-1]):  # a recording has no untrained state of its own
        untrained |= (before[end] == 0) & area[other].isna()
    if untrained.all():
        return table, table[~untrained]
    return table[~untrained], table[untrained]


def recorded(table: pd.DataFrame) -> pd.Series:
    """Which rows have a recording at either end: its areas have names, and no depth."""
    return table.source_depth.isna() | table.target_depth.isna()


def corresponding(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of corresponding layers (``correspondence.py``)."""
    return table[of_corresponding(table)]


def ends(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The training runs at both ends of each row: of the source, and of the target."""
    return (
        table.source_model + "/" + table.source_weights,
        table.target_model + "/" + table.target_weights,
    )


def pair(table: pd.DataFrame) -> np.ndarray:
    """One name for each pair of training runs, whatever the direction of the map."""
    a, b = ends(table)
    return np.where(a < b, a + " " + b, b + " " + a)


def members(table: pd.DataFrame) -> dict[str, list[str]]:
    """The training runs of each model, in the order of the rows, without the raw-pixel baseline."""
    rows = networks(table)
    runs = pd.concat([rows[[f"{end}_model", f"{end}_weights"]].set_axis(["model", "run"], axis=1) for end in _ENDS])
    return {str(model): sorted(part.run.unique()) for model, part in runs.groupby("model", sort=False)}


def subject(table: pd.DataFrame) -> str:
    """Which networks on which images, in a line: the training runs by name where they are few."""
    told = []
    for model, runs in members(table).items():
        listed = ", ".join(runs)
        told.append(f"{model} {listed}" if len(listed) <= _LISTED else f"{len(runs)} × {model}")
    return f"{' and '.join(told)} on {' '.join(', '.join(table.dataset.dropna().unique()).split())}"


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """Rows between networks, without the raw-pixel baseline."""
    return table[(table.source_model != PIXELS) & (table.target_model != PIXELS)]


def point(rows: pd.DataFrame, end: str) -> pd.Series:
    """The point of training at one end, source or target: epochs done, or steps where the epochs are not known."""
    epochs_known = rows.source_epoch.notna().all() and rows.target_epoch.notna().all()
    return rows[f"{end}_{'epoch' if epochs_known else 'step'}"].astype(float)


def named_alike(rows: pd.DataFrame) -> bool:
    """Whether the layers that are compared have one name each: the same in both networks."""
    return bool((rows.source_layer == rows.target_layer).all())


def layer_names(rows: pd.DataFrame) -> pd.Series:
    """The layer's name, or both names where they differ, in the order of x and y."""
    x, y = x_and_y(rows, "layer")
    return x.where(x == y, x + " × " + y)
