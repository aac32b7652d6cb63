"""Rows as arrays: for each study (one run, one pair of models) the scores by pair of networks, fold and layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from convergence.alignment.metrics.catalogue import of_freedom
from convergence.alignment.metrics.metric import Freedom
from convergence.results import views as tables
from convergence.results.uncertainty import Array, Network, Sample, telling


@dataclass(frozen=True)
class Grid:
    """The scores of one study.

    Attributes
    ----------
    rows : what they come from.
    pairs : both networks of each pair.
    scores : (pairs, folds, [cells,] layers), both directions averaged.
    cells : what the third axis is, such as metrics; empty where there is none.
    depths : (layers,) relative, the mean of both layers'.
    """

    rows: pd.DataFrame
    pairs: tuple[tuple[Network, Network], ...]
    scores: Array
    cells: tuple[str, ...]
    depths: Array

    @property
    def accuracy(self) -> Array:
        """(pairs, cells) mean accuracy of the two networks; NaN where it is not known."""
        both = self.rows.assign(accuracy=self.rows[["source_accuracy", "target_accuracy"]].mean(axis=1, skipna=False))
        known = both.groupby(["x", "y", "cell"]).accuracy.mean().unstack("cell")
        return known.reindex(index=pd.MultiIndex.from_tuples(self.pairs), columns=list(self.cells)).to_numpy(
            dtype=float
        )

    def sample(self, values: Array | None = None) -> Sample:
        """These pairs, with values (pairs, folds, …) of theirs; the scores by default."""
        return Sample(self.pairs, self.scores if values is None else values)


def trained(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Observed rows of an axis on undistorted stimuli between trained networks, no recordings; of training its end."""
    rows = tables.networks(tables.observed(table[(table.axis == axis) & ~tables.recorded(table)]))
    rows = rows[
        (rows.condition.isna() | (rows.condition == "wd")) & ~((rows.source_step == 0) & (rows.target_step == 0))
    ]
    if axis != "training" or rows.empty:
        return rows
    ends = []
    for _, run in rows.groupby("run"):
        source, target = tables.point(run, "source"), tables.point(run, "target")
        x, y = tables.ends(run)
        ends.append(run[(source == source.max()) & (target == source.max()) & (x != y)])
    return pd.concat(ends)


def corresponding(table: pd.DataFrame) -> pd.DataFrame:
    """Trained rows of corresponding layers: of the depth axis, else of the end of training, else of the OOD axis."""
    for axis in ("depth", "training", "ood"):
        rows = trained(table, axis)
        if len(rows):
            return _by_models(rows)
    return table.iloc[:0]


def _by_models(rows: pd.DataFrame) -> pd.DataFrame:
    kinds = rows.source_model.where(rows.source_model < rows.target_model, rows.target_model)
    within = rows.source_model == rows.target_model
    return pd.concat([tables.corresponding(part) for _, part in rows.groupby([kinds, within])])


def oriented(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows with ``study``, networks ``x`` and ``y`` and a ``layer``, whatever the direction of the map."""
    source = list(zip(rows.source_model, rows.source_weights, strict=True))
    target = list(zip(rows.target_model, rows.target_weights, strict=True))
    swap = np.array([s > t for s, t in zip(source, target, strict=True)], dtype=bool)
    x = [t if s else a for s, a, t in zip(swap, source, target, strict=True)]
    y = [a if s else t for s, a, t in zip(swap, source, target, strict=True)]
    first = rows.target_layer.where(swap, rows.source_layer)
    second = rows.source_layer.where(swap, rows.target_layer)
    return rows.assign(
        x=pd.Series(x, index=rows.index, dtype=object),
        y=pd.Series(y, index=rows.index, dtype=object),
        study=rows.run.fillna("")
        + "\t"
        + pd.Series([f"{a[0]}\t{b[0]}" for a, b in zip(x, y, strict=True)], rows.index, dtype=object),
        layer=first + "\t" + second,
        depth=rows[["source_depth", "target_depth"]].mean(axis=1),
        fold=rows.fold.fillna(0).astype(int),
    )


def grids(rows: pd.DataFrame, cells: str = "", wanted: Sequence[str] | None = None, value: str = "score") -> list[Grid]:
    """The grids of all studies; only those that tell an interval over networks, where there are some.

    Parameters ---------- rows : of corresponding layers. cells : a column to keep apart, such as the metric, and which
    of its values in which order (None: all that are there).
    """
    if rows.empty:
        return []
    made = [_grid(part, cells, wanted, value) for _, part in oriented(rows).groupby("study", sort=False)]
    there = [grid for grid in made if grid is not None]
    chosen = telling([grid.sample() for grid in there])
    return [grid for grid in there if any(grid.pairs is sample.pairs for sample in chosen)]


def _grid(rows: pd.DataFrame, cells: str, wanted: Sequence[str] | None, value: str) -> Grid | None:
    """Layers that lack a score somewhere are left out; None where no layer is left."""
    keys = ["fold", *([cells] if cells else []), "layer"]
    names = list(wanted) if wanted is not None else (sorted(rows[cells].unique()) if cells else [])
    wide = rows.groupby(["x", "y", *keys])[value].mean().unstack(keys)
    depths = rows.groupby("layer").depth.mean().sort_values(kind="stable")
    folds = sorted(rows.fold.unique())
    axes = [folds, *([names] if cells else []), list(depths.index)]
    array = wide.reindex(columns=pd.MultiIndex.from_tuples(list(product(*axes)), names=keys)).to_numpy(dtype=float)
    array = array.reshape(len(wide), *(len(axis) for axis in axes))
    whole = ~np.isnan(array).any(axis=tuple(range(array.ndim - 1)))
    if not whole.any():
        return None
    kept = rows[rows.layer.isin(depths.index[whole])]
    kept = kept[kept[cells].isin(names)].assign(cell=kept[cells]) if cells else kept
    pairs = tuple((x, y) for x, y in wide.index)
    return Grid(kept, pairs, array[..., whole], tuple(names), depths.to_numpy()[whole])


def basis(grids: Sequence[Grid]) -> pd.DataFrame | None:
    """All rows of these grids."""
    return pd.concat([grid.rows for grid in grids]) if grids else None


def metrics_in(rows: pd.DataFrame) -> list[str]:
    """The paper's metrics that these rows have, from flexible to strict; permutation stands in for soft matching."""
    there = list(rows.metric)
    found = [of_freedom(there, freedom) for freedom in sorted(Freedom, reverse=True)]
    return [metric for metric in found if metric is not None]


def matching_in(rows: pd.DataFrame) -> str | None:
    """The matching metric that these rows have."""
    return of_freedom(rows.metric, Freedom.matching)
