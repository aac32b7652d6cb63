"""The memory that scoring takes, planned before anything is extracted; what can't fit is refused here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from convergence.alignment import gram_side as wide
from convergence.alignment import own, units
from convergence.alignment import similarity as unfitted
from convergence.alignment.applicable import applies, why_none
from convergence.alignment.chance import null as nulls
from convergence.alignment.chance.draws import bytes_of_a_draw
from convergence.alignment.chance.null import BASIS_BOUND
from convergence.alignment.metrics.catalogue import MEASURES, find
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.tiles import tiles
from convergence.alignment.ways import By, Needs, Way, sets_at_once
from convergence.axes.comparison import Comparison, labels
from convergence.axes.options import OodConfig, Protocol
from convergence.experiment.config import Config
from convergence.experiment.folder import metrics_of
from convergence.models.options import Units
from convergence.system import budget
from convergence.system.errors import UserError

_SCORE = 3 * 8  # bytes of a draw's three scores on one fold
_SOLVERS, _TRANSPORT = 35 * 2**20, 68 * 2**20  # bytes of SciPy's and POT's code, which matching loads
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
    x, y = _shapes(c)
    if c.pairs and not any(applies(x, y, pair, metrics_of(cfg)) for pair in c.pairs):
        raise UserError(f"{c}: {why_none(x, y, c.pairs, metrics_of(cfg))}")
    fitted, without = ([m for m in metrics_of(cfg) if find(m).fitted is kind] for kind in (True, False))
    null, sets = nulls.of(cfg.null), 1 + _others(cfg, c)
    applied = [pair for pair in c.pairs if applies(x, y, pair, fitted)]
    if sets > 2:
        sets = 1 + sets_at_once(Needs(x, y, cfg.metric.folds), applied, fitted, sets - 1, room)
    # A transfer has no chance; what is scored on its own stimuli has, and no other sets.
    each = [Needs(x, y, cfg.metric.folds, sets), *([Needs(x, y, cfg.metric.folds, 1, null)] if null else [])]

    def refuse_if(cost: float, pair: Pair) -> None:
        if cost > room:
            widths, time = (x.layers[pair[0]], y.layers[pair[1]]), lasts(replace(c, pairs=(pair,)))
            raise _refused(cfg, c, pair, widths, (cost, time), (room, limit))

    def of_responses(block: Sequence[Pair]) -> float:
        samples = in_fold(cfg, c) * x.positions[block[0][0]]
        read_off = unfitted.cost(x.layers, y.layers, block, samples, without)
        return max(read_off, sets * own.cost(x, y, block)) if set(without) - set(MEASURES) else read_off

    found = [0.0]
    for needs in each:
        for way in needs.ways(applied, fitted, room):
            for pair in way.pairs:
                refuse_if(needs.of(way, pair), pair)
            found.append(_of_way(needs, way, room))
    read_off = [pair for pair in c.pairs if applies(x, y, pair, without)]
    for pair in read_off:
        refuse_if(of_responses([pair]), pair)
    found += [of_responses(tile) for tile in tiles(x, y, read_off, of_responses, room)]
    return max(found) + _draws(cfg, c)


def _of_way(needs: Needs, way: Way, room: float) -> float:
    """Peak bytes of pairs that are scored in one way, each of which fits."""
    x, y = needs.x, needs.y
    if way.by is By.fold:
        return max(needs.of(way, pair) for pair in way.pairs)
    if way.by is By.grams:
        widths = [width for a, b in way.pairs for width in (x.layers[a], y.layers[b])]
        read = wide.bytes_of_blocks(widths, x.rows, needs.sets, needs.folds, room)
        return min(room, needs.of_grams(way.pairs, way.metrics)) + read
    found = [0.0]
    for tile in tiles(x, y, way.pairs, needs.of_moments, room):
        cost, kept = needs.of_moments(tile), needs.of_kept(tile, room)
        if needs.null is not None:  # as many draws at a time as there is room for
            each = max(bytes_of_a_draw(x, y, tile, needs.folds).values())
            found.append(min(room, cost + kept + needs.null.draws * each))
        else:  # folds side by side, where there is room
            side_by_side = (needs.of_moments(tile, k) + kept for k in range(2, needs.folds + 1))
            found += [cost + kept, *(held for held in side_by_side if held <= room)]
    return max(found)


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


def _shapes(c: Comparison) -> list[_Shape]:
    """Of x and of y."""
    return [
        _Shape({n: p for n, (p, _) in side.items()}, {n: w for n, (_, w) in side.items()}, len(c.stimuli))
        for side in sizes(c)
    ]


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
    alone = [name for name in metrics_of(cfg) if find(name).gram]
    x, y = _shapes(c)
    needed = Needs(x, y, cfg.metric.folds, 1 + min(1, _others(cfg, c)))

    def fit(metrics: Sequence[str]) -> bool:
        return all(needed.of(way, pair) <= room for way in needed.ways([pair], metrics, room))

    if alone and fit(alone):
        ways.append(f"score {' and '.join(alone)} alone (metric.names=[{','.join(alone)}])")
    if cfg.null.kinds and fit([name for name in metrics_of(cfg) if find(name).fitted]):
        ways.append("leave out chance (null=none)")
    ways.append("leave such layers out (model.layers)")
    whose = "" if cfg.memory_gb is not None else ", half of what may be used"
    advice = " or ".join(filter(None, (", ".join(ways[:-1]), ways[-1])))
    return UserError(
        f"scoring {pair[0]} × {pair[1]} ({widths[0]:,} × {widths[1]:,} units) of {c} takes {held:.3g} GiB, and "
        f"about {time}; the budget is {given:.3g} GiB (memory_gb{whose}): {advice}."
    )


def sizes(comparison: Comparison) -> list[dict[str, tuple[int, int]]]:
    """Positions and units of each layer of x, and of y."""
    return [
        {
            label: units.size(side[i].layers[name].shape, side[i].layers[name].units)
            for label, (i, name) in labels(side).items()
        }
        for side in (comparison.x, comparison.y)
    ]


def late(cfg: Config, c: Comparison) -> int:
    """Bytes of the libraries that scoring will load."""
    x, y = ({name: width for name, (_, width) in side.items()} for side in sizes(c))
    matching = [found for m in metrics_of(cfg) if (found := find(m)).by_unit]
    unequal = any(math.lcm(x[a], y[b]) > 2 * max(x[a], y[b]) for a, b in c.pairs)
    return bool(matching) * _SOLVERS + (unequal and any(not m.equal_widths for m in matching)) * _TRANSPORT


def in_fold(cfg: Config, c: Comparison) -> int:
    return math.ceil(len(c.stimuli) / cfg.metric.folds)
