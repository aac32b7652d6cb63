"""Which rows may share a line of a figure: those of one data set, as many stimuli, and one pair of architectures."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from convergence.results.views import networks

ALL = ("dataset", "stimuli", "models")


def comparable(table: pd.DataFrame, alike: Sequence[str] = ALL) -> dict[str, pd.DataFrame]:
    """Rows whose scores may be averaged, by a name that tells the groups apart ("" where there is one).

    The baseline of raw pixels joins every group that has its network's architecture.

    Parameters
    ----------
    alike : in what the rows of a group agree. ``stimuli`` are counted over a whole run.
    """
    samples = (table.n_train + table.n_test).groupby(table.run, dropna=False).transform("max")
    every = pd.DataFrame({"dataset": table.dataset, "stimuli": samples, "models": _architectures(table)})
    keys = every[list(alike)]
    between = networks(table).index
    same = [name for name in alike if name != "models"]
    found = {}
    for key, rows in keys.loc[between].groupby(list(alike), sort=False, dropna=False):
        mine, others = rows.index, keys.drop(between)
        if "models" in alike:
            models = str(key[alike.index("models")]).split("+")
            of_these = table.source_model.isin(models) | table.target_model.isin(models)
            others = others[of_these[others.index]]
        beside = others[(others[same] == rows[same].iloc[0]).all(axis=1)]
        found[key] = table.loc[mine.union(beside.index)]
    told = [i for i in range(len(alike)) if len({key[i] for key in found}) > 1]
    return {"-".join(_plain(str(key[i])) for i in told): rows for key, rows in found.items()}


def _architectures(table: pd.DataFrame) -> pd.Series:
    swapped = table.source_model > table.target_model
    first = table.target_model.where(swapped, table.source_model)
    second = table.source_model.where(swapped, table.target_model)
    return first.where(first == second, first + "+" + second)


def _plain(name: str) -> str:
    """As a part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", name.removesuffix(".0"))
