"""From the scores of blocks to the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from convergence.alignment.engine import Block, Found, Tile, in_order
from convergence.alignment.metrics.catalogue import ordered

COLUMNS = [
    *("layer_x", "layer_y", "metric", "direction", "fold", "score", "score_global", "score_transport", "penalty"),
    *("n_train", "n_test", "units_x", "units_y", "dead_x", "dead_y"),
]
CORRECTED = "score_corrected"  # a further column, where a target's responses were repeated
NUMBERS = ("score", "score_global", "score_transport", "penalty", CORRECTED)  # what the engine says of each


def observed(tile: Tile, directions: Sequence[str], pool: Any, advance: Callable[[int], None] | None) -> list[Any]:
    """A table for each of the tile's held-out sets."""
    jobs = [(block.work, partial(_scored, tile, block, directions)) for block in tile.blocks]
    tables: list[list[pd.DataFrame]] = [[] for _ in tile.sets]
    for block, found in in_order(jobs, pool):
        for i, table in enumerate(_tables(tile, block, found)):
            tables[i].append(table)
        if advance is not None:
            advance(len(block.pairs) * len(tile.held))
    return [in_catalogue_order(pd.concat(parts, ignore_index=True)) for parts in tables]


def _scored(tile: Tile, block: Block, directions: Sequence[str]) -> tuple[Block, Found]:
    return block, tile.observed(block, directions)


def settled(found: Found, again: Callable[[], Found]) -> dict[tuple[str, str], np.ndarray]:
    """(pairs, folds, variants, 5) on the host; what a fast fit leaves in doubt is taken from ``again``."""
    numbers = dict(zip(found, torch.stack(list(found.values())).cpu().numpy(), strict=True)) if found else {}
    if any(values[..., 5].any() for values in numbers.values()):
        numbers = {
            key: np.where(numbers[key][..., 5:] > 0, values.cpu().numpy(), numbers[key])
            for key, values in again().items()
        }
    return {key: values[..., :5] for key, values in numbers.items()}


def _tables(tile: Tile, block: Block, found: Found) -> list[pd.DataFrame]:
    directions = list(dict.fromkeys(direction for _, direction in found))
    numbers = settled(found, lambda: tile.observed(block, directions, exact=True))
    dead_x, dead_y = (_dead(units.varies, len(block.pairs)) for units in block.held_out)
    counts = tile.moments.counts
    pairs, folds = np.arange(len(block.pairs)), np.arange(len(tile.held))
    p, f = (part.ravel() for part in np.meshgrid(pairs, folds, indexing="ij"))
    held = np.array(tile.held)[f]
    names = np.array(block.pairs, dtype=object)[p]
    tables = []
    for i in range(len(tile.sets)):
        parts = []
        for (metric, direction), values in numbers.items():
            columns = {"layer_x": names[:, 0], "layer_y": names[:, 1], "metric": metric, "direction": direction}
            columns |= {"fold": held}
            columns |= dict(zip(NUMBERS, values[p, f, i].T, strict=True))
            columns |= {"n_train": sum(counts) - np.array(counts)[held], "n_test": np.array(counts)[held]}
            columns |= {"units_x": block.x[0].live.shape[-1], "units_y": block.y[0].live.shape[-1]}
            columns |= {"dead_x": dead_x[p, f, i], "dead_y": dead_y[p, f, i]}
            parts.append(pd.DataFrame(columns))
        tables.append(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS))
    return tables


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
