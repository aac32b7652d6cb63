"""Maps, fitted and scored: from Gram matrices, from moments of all folds, or of one fold after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from convergence.alignment import gram_side, rows
from convergence.alignment.chance import draws
from convergence.alignment.engine import Tile, workers
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.metrics.metric import Metric
from convergence.alignment.moments.accumulate import Pair, Pass, accumulate
from convergence.alignment.request import Request
from convergence.alignment.tiles import chunk as chunk_of
from convergence.alignment.tiles import halving, tiles, too_large
from convergence.alignment.ways import By, Needs, scatters
from convergence.system.memory import ease, give_back


def fitted_maps(request: Request, pairs: Sequence[Pair], names: Sequence[str]) -> Iterator[list[pd.DataFrame]]:
    """Maps, fitted and scored: for each tile a table for each of the held-out sets."""
    x, y, options = request.x, request.y, request.options
    needs = Needs(x, y, options.folds, len(request.sets), options.null)
    for way in needs.ways(pairs, names, request.budget):
        metrics = [MEASURES[name] for name in way.metrics]
        if way.by is By.grams:
            advance = options.advance if way.whole else None  # else it is told of the same pairs again
            yield gram_side.score(request, way.pairs, metrics, advance)
        elif way.by is By.moments:
            yield from _by_moments(request, way.pairs, metrics, needs)
        else:
            for pair in way.pairs:
                if (cost := needs.of(way, pair)) > request.budget:
                    raise too_large(x, y, pair, cost, request.budget)
                yield _by_fold(request, pair, metrics)


def _by_moments(
    request: Request, pairs: Sequence[Pair], metrics: Sequence[Metric], needs: Needs
) -> Iterator[list[pd.DataFrame]]:
    """Tile by tile, from moments of all folds."""
    x, y, fold, options, drawn = request.x, request.y, request.fold, request.options, request.drawn
    budget, directions, cost = request.budget, request.directions, needs.of_moments

    def scored(pairs_of_tile: list[Pair]) -> list[pd.DataFrame]:
        step, kept = options.chunk or chunk_of(x, y, pairs_of_tile, budget), needs.of_kept(pairs_of_tile, budget)
        how = Pass(options.device, step, keep=options.folds * (kept > 0))
        moments = accumulate(x, y, pairs_of_tile, fold, how)
        held_out = [accumulate(a, b, pairs_of_tile, fold, how, moments) for a, b in request.others]
        give_back()  # of the chunks
        left = budget - kept
        room = max(f for f in range(1, options.folds + 1) if f == 1 or cost(pairs_of_tile, f) <= left)
        at_once = options.folds if drawn is not None else room
        parts: list[list[pd.DataFrame]] = []
        with workers(options.device) as pool:
            for first in range(0, options.folds, at_once):
                held = range(first, min(first + at_once, options.folds))
                tile = Tile(moments, held_out or [moments], pairs_of_tile, held, metrics, pool)
                parts.append(rows.observed(tile, directions, pool, options.advance))
                if drawn is not None:
                    draws.draw(request, tile, room=left - cost(pairs_of_tile), chunk=step, pool=pool)
        return [rows.in_catalogue_order(pd.concat(tables)) for tables in zip(*parts, strict=True)]

    # Nothing of a tile is held while the next one is worked on.
    in_parts = None if drawn else partial(_by_fold, request, metrics=metrics)
    yield from (tables for _, tables in halving(scored, tiles(x, y, pairs, cost, budget), x, y, in_parts))


def _by_fold(request: Request, pair: Pair, metrics: Sequence[Metric]) -> list[pd.DataFrame]:
    """One pair, one fold after the other: each is a pass over the stimuli, which are its own or all others."""
    x, y, options, within = request.x, request.y, request.options, scatters([metric.name for metric in metrics])
    step = options.chunk or chunk_of(x, y, [pair], request.budget)
    how = Pass(options.device, step, keep=0 if within else 1, scatters=within)
    parts: list[list[pd.DataFrame]] = []
    ease(always=True)
    for k in range(options.folds):
        own = (request.fold != k).long()
        moments = accumulate(x, y, [pair], own, how)
        held_out = [accumulate(a, b, [pair], own, how, moments) for a, b in request.others]
        give_back()
        with workers(options.device) as pool:
            tile = Tile(moments, held_out or [moments], [pair], [0], metrics, pool)
            found = rows.observed(tile, request.directions, pool, options.advance)
        parts.append([table.assign(fold=k) for table in found])
        del moments, held_out, tile
    return [rows.in_catalogue_order(pd.concat(tables)) for tables in zip(*parts, strict=True)]
