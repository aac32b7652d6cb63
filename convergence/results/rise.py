"""When alignment arises: its share of the eventual rise at each checkpoint, beside the same share for accuracy.

The share is (A_t - A_0) / (A_end - A_0): networks align before any training, and that is not what training brings.
Where the rise is within noise of nothing, or alignment falls, there is no share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from convergence.results import uncertainty
from convergence.results import views as tables

ACCURACY = "accuracy"  # stands among the metrics
ALL = "all layers"  # the mean over layers, as a layer
_MILESTONES = (0.5, 0.9)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One quantity along training.

    Attributes
    ----------
    metric, layer : of what (`accuracy`, and `all layers`, stand beside the others).
    depth : relative, NaN for all layers.
    values : (points,) mean over pairs of networks (over networks for accuracy).
    without : (networks, points) the same without each network in turn, or None with too few of them.
    groups : which of the models each network belongs to.
    rises : whether the end lies above the beginning by more than the noise of the stimuli, in these very networks.
    bounded : whether it also does by more than networks differ. If not, a share of the rise has no bounds over networks
        (Fieller 1954, Some problems in interval estimation).
    """

    metric: str
    layer: str
    depth: float
    values: Array
    without: Array | None
    groups: tuple[int, ...]
    rises: bool
    bounded: bool

    @property
    def share(self) -> Array:
        """(points,) share of the rise; NaN where there is none."""
        return _share(self.values) if self.rises else np.full_like(self.values, np.nan)

    @property
    def share_interval(self) -> tuple[Array, Array]:
        """(points,) ends of the 95 % interval over seeds; infinite without bounds, NaN where there is none."""
        if self.without is None or not self.rises:
            return np.full_like(self.values, np.nan), np.full_like(self.values, np.nan)
        if not self.bounded:
            return np.full_like(self.values, -np.inf), np.full_like(self.values, np.inf)
        return _interval(self.share, _share(self.without), self.groups)

    def reached(self, share: float, axis: Array) -> tuple[float, float, float]:
        """Where along ``axis`` (points,) the share is first there, between checkpoints by a line; and its interval."""
        if not self.rises:
            return (np.nan,) * 3
        at = _reached(_share(self.values)[None], share, axis)[0]
        if self.without is None or not self.bounded:
            return at, np.nan, np.nan
        low, high = _interval(at, _reached(_share(self.without), share, axis), self.groups)
        return at, float(low), float(high)


@dataclass(frozen=True)
class Rise:
    """All curves of a table, at their points of training (epochs and steps, NaN where unknown)."""

    epochs: Array
    steps: Array
    seeds: int
    curves: list[Curve]

    @property
    def tells_seeds(self) -> bool:
        """Whether there are enough networks for intervals over seeds."""
        return self.curves[0].without is not None

    @property
    def axis(self) -> Array:
        """Epochs, or steps where the epochs are not known."""
        return self.steps if np.isnan(self.epochs).any() else self.epochs

    def curve(self, metric: str, layer: str) -> Curve | None:
        """The curve of this metric and layer, if there is one."""
        return next((c for c in self.curves if c.metric == metric and c.layer == layer), None)

    def points(self) -> pd.DataFrame:
        """One row per metric, layer and checkpoint."""
        rows = []
        for curve in self.curves:
            (low, high), share = curve.share_interval, curve.share
            for i, (epoch, step) in enumerate(zip(self.epochs, self.steps, strict=True)):
                rows.append((curve.metric, curve.layer, epoch, step, curve.values[i], share[i], low[i], high[i]))
        columns = ["metric", "layer", "epoch", "step", "value", "share", "share_low", "share_high"]
        return pd.DataFrame(rows, columns=columns).astype({"step": "Int64"})

    def milestones(self) -> pd.DataFrame:
        """One row per metric and layer: the rise, and where half and 90 % of it are there, in epochs and in steps."""
        rows = []
        for curve in self.curves:
            row = {"metric": curve.metric, "layer": curve.layer, "rise": curve.values[-1] - curve.values[0]}
            row["rises"] = curve.rises
            for share in _MILESTONES:
                for unit, axis in (("epoch", self.epochs), ("step", self.steps)):
                    name = f"{unit}_of_{round(100 * share)}_percent"
                    row[name], row[f"{name}_low"], row[f"{name}_high"] = curve.reached(share, axis)
            rows.append(row)
        return pd.DataFrame(rows)


def rise(table: pd.DataFrame) -> Rise:
    """The curves of a training run's rows: pairs of networks at the same point, corresponding layers."""
    rows = same_point(table)
    rows = rows.assign(pair=tables.pair(rows), layer=tables.layer_names(rows), depth=rows.source_depth)
    forward = rows[rows.direction == rows.direction.iloc[0]]
    points = forward.groupby(tables.point(forward, "source"))[["source_epoch", "source_step"]].first().sort_index()
    rows = rows.assign(point=points.index.get_indexer(tables.point(rows, "source")))
    networks = _networks(rows)
    counts = uncertainty.left_out([len(group) for group in networks])
    groups = tuple(i for i, group in enumerate(networks) for _ in group)
    order = [n for group in networks for n in group]
    pairs = sorted(rows.pair.unique())
    ends = [(order.index(a), order.index(b)) for a, b in (_ends_of(rows, name) for name in pairs)]
    weights = None if counts is None else uncertainty.pair_weights(counts, ends)
    curves = []
    layers = rows.drop_duplicates("layer").sort_values("depth").set_index("layer").depth
    for metric, part in rows.groupby("metric", sort=False):
        means = part.groupby(["layer", "pair", "point", "fold"]).score.mean().unstack(["point", "fold"])
        present = [name for name in layers.index if name in means.index.get_level_values(0)]
        cubes = {name: _cube(means.loc[name], pairs, len(points)) for name in present}
        everything = np.mean(list(cubes.values()), axis=0)
        for name, cube in {ALL: everything, **cubes}.items():
            curves.append(_alignment(str(metric), name, float(layers.get(name, np.nan)), cube, weights, groups))
    accuracy = _accuracy(rows, order, len(points))
    if accuracy is not None:
        curves.append(_accuracy_curve(accuracy, counts, groups, int((rows.n_train + rows.n_test).iloc[0])))
    steps = points.source_step.to_numpy(dtype=float, na_value=np.nan)
    return Rise(points.source_epoch.to_numpy(dtype=float), steps, len(order), curves)


def same_point(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of two different networks at one point of training, without the pixels."""
    rows = tables.networks(table)
    source, target = tables.ends(rows)
    return rows[(source != target) & (tables.point(rows, "source") == tables.point(rows, "target"))]


def _networks(rows: pd.DataFrame) -> list[list[str]]:
    """The networks of one model, or of both."""
    source, _ = tables.ends(rows)
    return [sorted(group.unique()) for _, group in source.groupby(rows.source_model, sort=False)]


def _ends_of(rows: pd.DataFrame, pair: str) -> tuple[str, str]:
    first = rows[rows.pair == pair].iloc[:1]
    source, target = tables.ends(first)
    return str(source.iloc[0]), str(target.iloc[0])


def _cube(means: pd.DataFrame, pairs: list[str], points: int) -> Array:
    """(pairs, points, folds)."""
    return means.reindex(pairs).sort_index(axis=1).to_numpy().reshape(len(pairs), points, -1)


def _alignment(
    metric: str, layer: str, depth: float, cube: Array, weights: Array | None, groups: tuple[int, ...]
) -> Curve:
    values = cube.mean(axis=(0, 2))
    without = None if weights is None else weights @ cube.mean(axis=2)
    low, _ = uncertainty.over_stimuli((cube[:, -1] - cube[:, 0]).mean(axis=0)).interval
    return Curve(metric, layer, depth, values, without, groups, low > 0, _above_zero(values, without, groups))


def _above_zero(values: Array, without: Array | None, groups: tuple[int, ...]) -> bool:
    if without is None:
        return True
    low, _ = _interval(values[-1] - values[0], without[:, -1] - without[:, 0], groups)
    return bool(low > 0)


def _interval(value: Array | float, without: Array, groups: tuple[int, ...]) -> tuple[Array, Array]:
    return uncertainty.interval(np.asarray(value), *uncertainty.jackknife(without, groups))


def _accuracy(rows: pd.DataFrame, networks: list[str], points: int) -> Array | None:
    """(networks, points)."""
    source, _ = tables.ends(rows)
    known = rows.groupby([source.rename("network"), "point"]).source_accuracy.first().unstack()
    values = known.reindex(index=networks, columns=range(points)).to_numpy(dtype=float)
    return None if np.isnan(values).any() else values


def _accuracy_curve(accuracy: Array, counts: NDArray[np.int64] | None, groups: tuple[int, ...], stimuli: int) -> Curve:
    values = accuracy.mean(axis=0)
    without = None if counts is None else counts @ accuracy / counts.sum(axis=1, keepdims=True)
    error = np.sqrt(sum(p * (1 - p) for p in (values[0], values[-1])) / stimuli)
    rises = bool(values[-1] - values[0] > stdtrit(stimuli, 0.975) * error)
    return Curve(ACCURACY, ALL, np.nan, values, without, groups, rises, _above_zero(values, without, groups))


def _share(values: Array) -> Array:
    first, last = values[..., :1], values[..., -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (values - first) / (last - first) + 0.0  # a plain zero where a fall begins


def _reached(shares: Array, share: float, axis: Array) -> Array:
    """(curves,) place on the axis where each of (curves, points) first comes to the share."""
    there = shares >= share
    at = there.argmax(axis=1)
    rows = np.arange(len(shares))
    before = np.maximum(at - 1, 0)
    a, b = shares[rows, before], shares[rows, at]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(at > 0, (share - a) / (b - a), 0.0)
    place = axis[before] + part * (axis[at] - axis[before])
    return np.where(there.any(axis=1), place, np.nan)
