"""Which layers of two networks correspond: said here once, for what is scored and for what is drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def corresponding_layers(x: Mapping[str, float], y: Mapping[str, float]) -> list[tuple[str, str]]:
    """Pairs of layers in the order of depth: those of the same name where both have the same layers.

    Else, as between architectures, each layer of either network with the other's layer of the nearest relative depth,
    the earlier of two that are equally near.

    Parameters
    ----------
    x, y : relative depth (0 to 1) by layer name, in forward order.
    """
    if list(x) == list(y):
        return [(name, name) for name in x]
    pairs = dict.fromkeys((a, _nearest(depth, y)) for a, depth in x.items())
    pairs |= dict.fromkeys((_nearest(depth, x), b) for b, depth in y.items())
    return sorted(pairs, key=lambda pair: (x[pair[0]], y[pair[1]]))


def _nearest(depth: float, layers: Mapping[str, float]) -> str:
    return min(layers, key=lambda name: abs(layers[name] - depth))


def of_corresponding(table: pd.DataFrame) -> pd.Series:
    """Which rows of a table of results are of corresponding layers: (rows,) bool.

    Two networks of one model have the same layers; of two models, the layers are those that the rows name.
    """
    chosen = pd.Series(np.zeros(len(table), bool), table.index)
    for (source, target), rows in table.groupby(["source_model", "target_model"], sort=False):
        if source == target:
            chosen[rows.index] = rows.source_layer == rows.target_layer
            continue
        x, y = (_depths(rows, end) for end in ("source", "target"))
        wanted = pd.MultiIndex.from_tuples(corresponding_layers(x, y))
        chosen[rows.index] = pd.MultiIndex.from_frame(rows[["source_layer", "target_layer"]]).isin(wanted)
    return chosen


def _depths(rows: pd.DataFrame, end: str) -> dict[str, float]:
    layers = rows.drop_duplicates(f"{end}_layer").sort_values(f"{end}_depth", kind="stable")
    return dict(zip(layers[f"{end}_layer"], layers[f"{end}_depth"], strict=True))
