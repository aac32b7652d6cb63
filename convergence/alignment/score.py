"""From moments to rows: every pair, fold, metric and direction, within a memory budget.

A tile is a block of layers of either side whose moments fit the budget; each tile is one pass over the stimuli.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from convergence.alignment import folds as kfold
from convergence.alignment import own, rows
from convergence.alignment import similarity as unfitted
from convergence.alignment.applicable import applies, say_left_out, why_none
from convergence.alignment.chance import rows as null_rows
from convergence.alignment.chance.drawn import Drawn
from convergence.alignment.chance.null import Null
from convergence.alignment.fitted import fitted_maps
from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.metrics.metric import Metric
from convergence.alignment.moments.accumulate import Pair, Representation
from convergence.alignment.request import DIRECTIONS, Options, Request
from convergence.alignment.rows import COLUMNS
from convergence.alignment.tiles import chunk as chunk_of
from convergence.alignment.tiles import tiles
from convergence.alignment.ways import Needs, sets_at_once
from convergence.system.errors import UserError
from convergence.system.memory import within

__all__ = ["COLUMNS", "DIRECTIONS", "VERSION", "rounds_of", "score", "transfer"]

VERSION = 2  # of the scores: raise it whenever the same responses give other ones
_HOLES = 1.25  # times the budget: where more is held, holes are given back


def score(x: Representation, y: Representation, pairs: Sequence[Pair], **options: Any) -> pd.DataFrame:
    """Held-out scores of all ``pairs`` of layers, the columns ``COLUMNS``, in the order of ``pairs``.

    With ``null`` also rows of chance, and its columns (``chance/rows.py``). ``options`` are those of :class:`Options`.

    Raises
    ------
    UserError
        If x and y have different stimuli, a response is not finite, folds are too small, or no pair can be scored.
    """
    found = Options(**options)
    with within(_HOLES * found.memory_gb * 2**30):
        return _score(x, y, (), pairs, found)[0]


def transfer(
    x: Representation,
    y: Representation,
    others: Sequence[tuple[Representation, Representation]],
    pairs: Sequence[Pair],
    **options: Any,
) -> list[pd.DataFrame]:
    """Maps fitted on x and y as in :func:`score`, scored on the held-out fold of other responses: a table for each.

    Parameters
    ----------
    others : responses of the same two networks to as many other stimuli, such as the same images distorted. The i-th
        of them is held out with the i-th of x and y, so that a distorted image never meets a map that saw it clean.
    options : those of :class:`Options`, but ``null``.

    Raises
    ------
    UserError
        As :func:`score`, and if the numbers of stimuli differ.
    """
    if options.get("null") is not None:
        raise TypeError("a transfer has no null")
    found = Options(**options)
    with within(_HOLES * found.memory_gb * 2**30):
        return _score(x, y, others, pairs, found)


def _score(
    x: Representation,
    y: Representation,
    others: Sequence[tuple[Representation, Representation]],
    pairs: Sequence[Pair],
    options: Options,
) -> list[pd.DataFrame]:
    """A table for each of ``others``, or the one of x and y themselves."""
    options = replace(options, device=torch.device(options.device))
    if x.rows != y.rows:
        raise UserError(f"x has {x.rows} stimuli and y has {y.rows}: both must see the same ones, in one order.")
    for side in (side for both in others for side in both):
        if side.rows != x.rows:
            raise UserError(f"maps from {x.rows} stimuli can't be scored by folds on {side.rows} others: give as many.")
    fold = kfold.assign(x.rows, options.folds, options.seed)
    resolved = catalogue.resolve(options.metrics)
    catalogue.check(resolved, x.rows, options.folds)
    metrics, users = [m.name for m in resolved], [m for m in resolved if m.call]
    applicable = [p for p in pairs if applies(x, y, p, metrics)]
    if pairs and not applicable:
        raise UserError(why_none(x, y, pairs, metrics))
    say_left_out(x, pairs, metrics)
    budget = options.memory_gb * 2**30
    fitted = [m.name for m in resolved if m.fitted and not m.call]
    needs = Needs(x, y, options.folds, null=options.null)
    at_once = sets_at_once(needs, applicable, fitted, len(others), budget)
    if at_once < len(others):  # maps are fitted again for each of the parts
        first, rest = others[:at_once], others[at_once:]
        return _score(x, y, first, pairs, options) + _score(x, y, rest, pairs, replace(options, advance=None))
    without = [m.name for m in resolved if not m.fitted and not m.call]
    drawn = Drawn(options.null) if options.null else None
    request = Request([(x, y), *others], fold, options, drawn)
    parts = [
        *fitted_maps(request, [p for p in applicable if applies(x, y, p, fitted)], fitted),
        *_read_off(request, [p for p in applicable if applies(x, y, p, without)], without),
        *_users(request, applicable if users else [], users),
    ]
    tables = [[part[i] for part in parts] for i in range(len(others) or 1)]
    if drawn is not None:
        tables[0].append(null_rows.rows(pd.concat(tables[0]), drawn))
    return [_ordered(table, applicable) for table in tables]


def _read_off(request: Request, pairs: Sequence[Pair], metrics: Sequence[str]) -> Iterator[list[pd.DataFrame]]:
    """From the stimuli of the held-out fold alone: for each tile a table for each of the held-out sets."""
    x, y, options = request.x, request.y, request.options
    n = math.ceil(x.rows / options.folds)

    def cost(block: Sequence[Pair]) -> float:
        return unfitted.cost(x.layers, y.layers, block, n * x.positions[block[0][0]], metrics)

    for tile in tiles(x, y, pairs, cost, request.budget):
        chunk = options.chunk or chunk_of(x, y, tile, request.budget)
        found = [unfitted.score_tile(request, i, tile, metrics, chunk) for i in range(len(request.held_out))]
        yield [rows.in_catalogue_order(pd.DataFrame(table)) for table in found]


def _users(request: Request, pairs: Sequence[Pair], metrics: Sequence[Metric]) -> Iterator[list[pd.DataFrame]]:
    """By users' own functions of the responses: for each tile a table for each of the held-out sets."""
    x, y = request.x, request.y
    pairs = [pair for pair in pairs if x.positions[pair[0]] == y.positions[pair[1]]]

    def cost(block: Sequence[Pair]) -> float:
        return len(request.sets) * own.cost(x, y, block)

    for tile in tiles(x, y, pairs, cost, request.budget):
        yield own.score_tile(request, tile, metrics)


def _ordered(parts: list[pd.DataFrame], pairs: Sequence[Pair]) -> pd.DataFrame:
    """One table of all tiles, in the order of the pairs."""
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    place = {pair: i for i, pair in enumerate(pairs)}
    where = [place[pair] for pair in zip(table.layer_x, table.layer_y, strict=True)]
    return table.iloc[np.argsort(where, kind="stable")].reset_index(drop=True)


def rounds_of(metrics: Sequence[str], null: Null | None) -> int:
    """How often ``advance`` is told of each pair and fold: with a fit and without, of the data and of each draw."""
    known = [m for m in metrics if m in MEASURES]
    fitted, without = ([m for m in known if MEASURES[m].fitted is kind] for kind in (True, False))
    rounds = own.rounds(null) if len(known) < len(metrics) else 0
    if fitted:
        rounds += null.rounds(fitted) if null else 1
    if without:
        rounds += 1 + (null.draws if null and "shuffle" in null.kinds else 0)
    return rounds
