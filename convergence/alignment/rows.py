"""From the scores of blocks to the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergence.alignment.engine import Block, Doubtful, Found, Tile, in_order
from convergence.alignment.metrics.catalogue import ordered

COLUMNS = [
    *("layer_x", "layer_y", "metric", "direction", "fold", "score", "score_global", "score_transport", "penalty"),
    *("n_train", "n_test", "units_x", "units_y", "dead_x", "dead_y"),
]
CORRECTED = "score_corrected"  # a further column, where a target's responses were repeated
_Columns = dict[str, NDArray[Any]]
NUMBERS = ("score", "score_global", "score_transport", "penalty", CORRECTED)  # what the engine says of each


def observed(tile: Tile, directions: Sequence[str], pool: Any, advance: Callable[[int], None] | None) -> list[Any]:
    """A table for each of the tile's held-out sets, in no order."""
    jobs = [(block.work, partial(_scored, tile, block, directions)) for block in tile.blocks]
    parts: list[list[_Columns]] = [[] for _ in tile.sets]
    for block, found in in_order(jobs, pool):
        for i, of_set in enumerate(_columns(tile, block, found)):
            parts[i] += of_set
        if advance is not None:
            advance(len(block.pairs) * len(tile.held))
    return [_table(of_set) for of_set in parts]


def _table(parts: list[_Columns]) -> pd.DataFrame:
    # One table at the end: hundreds of small ones would take as long as what is in them.
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _scored(tile: Tile, block: Block, directions: Sequence[str]) -> tuple[Block, Found]:
    return block, tile.observed(block, directions)


def settled(found: Found, again: Callable[[Doubtful], Found]) -> dict[tuple[str, str], np.ndarray]:
    """(pairs, folds, variants, 5) on the host; what fast fits of some metrics leave in doubt is from ``again``."""
    numbers = dict(zip(found, torch.stack(list(found.values())).cpu().numpy(), strict=True)) if found else {}
    doubtful: dict[str, Tensor] = {}
    for (metric, _), values in numbers.items():
        if (where := torch.from_numpy(values[..., 5] > 0)).any():
            doubtful[metric] = where | doubtful.get(metric, where)
    if doubtful:
        for key, values in again(doubtful).items():
            numbers[key] = np.where(numbers[key][..., 5:] > 0, values.cpu().numpy(), numbers[key])
    return {key: values[..., :5] for key, values in numbers.items()}


def _columns(tile: Tile, block: Block, found: Found) -> list[list[_Columns]]:
    """For each of the tile's held-out sets, the columns of its rows, metric by metric and direction by direction."""
    directions = list(dict.fromkeys(direction for _, direction in found))
    numbers = settled(found, lambda doubtful: tile.observed(block, directions, doubtful))
    dead_x, dead_y = (_dead(units.varies, len(block.pairs)) for units in block.held_out)
    counts = tile.moments.counts
    pairs, folds = np.arange(len(block.pairs)), np.arange(len(tile.held))
    p, f = (part.ravel() for part in np.meshgrid(pairs, folds, indexing="ij"))
    held = np.array(tile.held)[f]
    names = np.array(block.pairs, dtype=object)[p]
    widths = {end: side[0].live.shape[-1] for end, side in (("x", block.x), ("y", block.y))}
    sets: list[list[_Columns]] = []
    for i in range(len(tile.sets)):
        alike = {"layer_x": names[:, 0], "layer_y": names[:, 1], "fold": held}
        alike |= {"n_train": sum(counts) - np.array(counts)[held], "n_test": np.array(counts)[held]}
        alike |= {f"units_{end}": np.full(len(held), width) for end, width in widths.items()}
        alike |= {"dead_x": dead_x[p, f, i], "dead_y": dead_y[p, f, i]}
        sets.append([])
        for (metric, direction), values in numbers.items():
            columns = dict(zip(NUMBERS, values[p, f, i].T, strict=True))
            columns |= {
                "metric": np.full(len(held), metric, object),
                "direction": np.full(len(held), direction, object),
            }
            sets[-1].append(alike | columns)
    return sets


def _dead(varies: Tensor, pairs: int) -> np.ndarray:
    """(P, F, sets) units left out: dead in training, or constant in the held-out fold."""
    dead = (varies.shape[-1] - varies.sum(dim=-1)).cpu().numpy()
    return np.broadcast_to(dead, (pairs, *dead.shape[1:]))


def in_catalogue_order(table: pd.DataFrame) -> pd.DataFrame:
    """In the columns and the order that all tables of scores have."""
    order = {name: i for i, name in enumerate(ordered(table.metric))}
    corrected = [CORRECTED] if CORRECTED in table and table[CORRECTED].notna().any() else []
    return table.reindex(columns=[*COLUMNS, *corrected]).sort_values(
        ["layer_x", "layer_y", "metric", "direction", "fold"],
        key=lambda column: column.map(order) if column.name == "metric" else column,
    )
