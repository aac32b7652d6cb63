"""The memory that scoring takes, planned before anything is extracted; what can't fit is refused here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from convergence.alignment import gram_side as wide
from convergence.alignment import own, units
from convergence.alignment import similarity as unfitted
from convergence.alignment.applicable import applies, why_none
from convergence.alignment.chance import null as nulls
from convergence.alignment.chance.draws import bytes_of_a_draw, keeps
from convergence.alignment.chance.null import BASIS_BOUND
from convergence.alignment.metrics.catalogue import MEASURES, find
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.tiles import bytes_of_moments, cost_of_pair, sets_at_once, tiles
from convergence.axes.comparison import Comparison, labels
from convergence.axes.options import OodConfig, Protocol
from convergence.experiment.config import Config
from convergence.experiment.folder import metrics_of
from convergence.models.options import Units
from convergence.system import budget
from convergence.system.errors import UserError

_SCORE = 3 * 8  # bytes of a draw's three scores on one fold
_ROW = 1000  # bytes of a row of the table, about


def peak(cfg: Config, c: Comparison, room: float, limit: float, lasts: Callable[[Comparison], str]) -> float:
    """Peak bytes that scoring counts, cut into tiles that fit ``room``; ``limit`` is what the device has at most.

    Parameters
    ----------
    lasts : about how long a comparison takes, for people.

    Raises
    ------
    UserError
        If a single pair of layers does not fit, or no metric applies to any pair: before anything is extracted.
    """
    x, y = (
        _Shape({n: p for n, (p, _) in side.items()}, {n: w for n, (_, w) in side.items()}, len(c.stimuli))
        for side in sizes(c)
    )
    if c.pairs and not any(applies(x, y, pair, metrics_of(cfg)) for pair in c.pairs):
        raise UserError(f"{c}: {why_none(x, y, c.pairs, metrics_of(cfg))}")
    fitted, without = ([m for m in metrics_of(cfg) if find(m).fitted is kind] for kind in (True, False))
    narrow, wide_ones = parted(cfg, c, x.layers, y.layers)
    null = nulls.of(cfg.null)
    sets = 1 + _others(cfg, c)
    if sets > 2:
        found = [find(m) for m in metrics_of(cfg)]
        applied = [pair for pair in c.pairs if applies(x, y, pair, fitted)]
        sets = 1 + sets_at_once(applied, partial(cost_of_pair, x, y, found, cfg.metric.folds), sets - 1, room)

    def of_moments(block: Sequence[Pair], at_once: int = 1) -> float:
        one, carried = (
            bytes_of_moments(x.layers, y.layers, block, cfg.metric.folds, at_once, held) for held in (1, sets)
        )
        return max(carried, one + keeps(x, y, block, cfg.metric.folds, null) if null else one)

    def of_responses(block: Sequence[Pair]) -> float:
        samples = in_fold(cfg, c) * x.positions[block[0][0]]
        read_off = unfitted.cost(x.layers, y.layers, block, samples, without)
        return max(read_off, sets * own.cost(x, y, block)) if set(without) - set(MEASURES) else read_off

    def of_grams(block: Sequence[Pair]) -> float:
        return wide.cost(block, len(c.stimuli), 2 * len(fitted), sets, cfg.metric.folds)

    needs = [0.0]
    for pairs, cost, metrics in (
        (narrow, of_moments, fitted),
        (wide_ones, of_grams, fitted),
        (c.pairs, of_responses, without),
    ):
        scored = [pair for pair in pairs if applies(x, y, pair, metrics)]
        for pair in scored:
            if cost([pair]) > room:
                widths, time = (x.layers[pair[0]], y.layers[pair[1]]), lasts(replace(c, pairs=(pair,)))
                raise _refused(cfg, c, pair, widths, (cost([pair]), time), (room, limit))
        if cost is of_grams:
            units_of = [w for a, b in scored for w in (x.layers[a], y.layers[b])]
            read = wide.bytes_of_blocks(units_of, len(c.stimuli), sets, cfg.metric.folds, room)
            needs += [min(room, cost(scored)) + read] if scored else []
            continue
        for tile in tiles(x, y, scored, cost, room):
            needs.append(cost(tile))
            if cost is of_moments and null is not None:  # as many draws at a time as there is room for
                each = max(bytes_of_a_draw(x, y, tile, cfg.metric.folds).values())
                needs.append(min(room, cost(tile) + null.draws * each))
            if cost is of_moments and null is None:  # folds side by side, where there is room
                needs += [of_moments(tile, k) for k in range(2, cfg.metric.folds + 1) if of_moments(tile, k) <= room]
    return max(needs) + _draws(cfg, c)


def _draws(cfg: Config, c: Comparison) -> float:
    """Bytes of the scores of chance, which are all kept until the comparison is scored, wherever it is computed.

    Raises
    ------
    UserError
        If this process may not use so many.
    """
    null = nulls.of(cfg.null)
    if null is None:
        return 0.0
    metrics = metrics_of(cfg)
    kinds = sum(len(metrics) if kind == "shuffle" else len(set(metrics) & set(BASIS_BOUND)) for kind in null.kinds)
    rows = 2.0 * len(c.pairs) * kinds * null.draws  # both directions
    needed = rows * (_SCORE * cfg.metric.folds + _ROW * null.keep)
    if needed > budget.usable():
        raise UserError(
            f"{null.draws:,} draws of chance for {len(c.pairs):,} pairs of layers of {c} take {needed / 2**30:.3g} GiB"
            f", and this process may use {budget.usable() / 2**30:.3g} GiB: ask for fewer (null.draws), leave "
            "null.keep_draws=false, compare corresponding layers alone (axis.pairs=matched), or fewer layers "
            "(model.layers)."
        )
    return needed


def _others(cfg: Config, c: Comparison) -> int:
    """Sets of stimuli that maps are carried over to."""
    carried = isinstance(cfg.axis, OodConfig) and Protocol.transfer in cfg.axis.protocols
    return len(c.conditions) * carried


@dataclass(frozen=True)
class _Shape:
    """What is known of a side's responses before they are there."""

    positions: dict[str, int]
    layers: dict[str, int]
    rows: int

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, torch.Tensor]:
        raise AssertionError("nothing is extracted yet")  # a bug of ours, never a user's


def _refused(
    cfg: Config,
    c: Comparison,
    pair: Pair,
    widths: tuple[int, int],
    needs: tuple[float, str],
    rooms: tuple[float, float],
) -> UserError:
    """A pair that can't be scored within the budget, with the ways out that work."""
    (cost, time), (room, limit), ways = needs, rooms, []
    held, given = budget.HELD * cost / 2**30, budget.HELD * room / 2**30
    if budget.HELD * cost < limit:
        ways.append(f"give memory_gb={math.ceil(held * 10) / 10:g}")
    if any(network.units is Units.flatten for network in c.networks):
        ways.append("take one unit per channel (model.units=center or mean)")
    by_gram = [name for name, measure in MEASURES.items() if measure.gram]
    shape: Any = (len(c.stimuli), 2 * len(by_gram), 1 + min(1, _others(cfg, c)), cfg.metric.folds)
    positions = sizes(c)[0][pair[0]][0]
    if wide.applies(widths, positions, len(c.stimuli), by_gram) and wide.cost([pair], *shape) <= room:
        ways.append(f"score {' and '.join(by_gram)} alone (metric.names=[{','.join(by_gram)}])")
    ways.append("leave such layers out (model.layers)")
    whose = "" if cfg.memory_gb is not None else ", half of what may be used"
    advice = " or ".join(filter(None, (", ".join(ways[:-1]), ways[-1])))
    return UserError(
        f"scoring {pair[0]} × {pair[1]} ({widths[0]:,} × {widths[1]:,} units) of {c} takes {held:.3g} GiB, and "
        f"about {time}; the budget is {given:.3g} GiB (memory_gb{whose}): {advice}."
    )


def parted(cfg: Config, c: Comparison, x: dict[str, int], y: dict[str, int]) -> tuple[list[Pair], list[Pair]]:
    """Pairs whose maps are fitted from moments, and from Gram matrices."""
    fitted = [m for m in metrics_of(cfg) if find(m).fitted]
    positions = {label: one for label, (one, _) in sizes(c)[0].items()}
    wide_ones = {(a, b) for a, b in c.pairs if wide.applies((x[a], y[b]), positions[a], len(c.stimuli), fitted)}
    return [p for p in c.pairs if p not in wide_ones], [p for p in c.pairs if p in wide_ones]


def sizes(comparison: Comparison) -> list[dict[str, tuple[int, int]]]:
    """Positions and units of each layer of x, and of y."""
    return [
        {
            label: units.size(side[i].layers[name].shape, side[i].layers[name].units)
            for label, (i, name) in labels(side).items()
        }
        for side in (comparison.x, comparison.y)
    ]


def in_fold(cfg: Config, c: Comparison) -> int:
    return math.ceil(len(c.stimuli) / cfg.metric.folds)
