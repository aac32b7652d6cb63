"""Users' own metrics: a callable ``(x_train, y_train, x_test, y_test) -> float`` on the responses of a pair of layers.

Tensors are (n, N), float64, on the device, of the units that vary in training; x predicts y. It is called for each
pair, fold and direction, and for each draw of a null, with stimuli in another order or a turned source.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from convergence.alignment.chance import null as nulls
from convergence.alignment.chance.null import Null
from convergence.alignment.metrics.metric import Metric
from convergence.alignment.moments.accumulate import Pair, Representation, check_finite
from convergence.alignment.moments.statistics import alive
from convergence.alignment.request import Request
from convergence.alignment.rows import in_catalogue_order
from convergence.system import user_code
from convergence.system.errors import UserError

Split = tuple[Tensor, Tensor]  # training and held-out responses (n, N)


def cost(x: Representation, y: Representation, pairs: Sequence[Pair]) -> float:
    """Peak bytes of a tile: all responses, and those of one fold at hand and in another order."""
    names = ((x, {a for a, _ in pairs}), (y, {b for _, b in pairs}))
    return 8 * 3 * sum(side.layers[n] * side.positions[n] * side.rows for side, some in names for n in some)


def score_tile(request: Request, pairs: Sequence[Pair], metrics: Sequence[Metric]) -> list[pd.DataFrame]:
    """Rows of all pairs and folds: a table for each of the sets on which maps are scored.

    Raises
    ------
    UserError
        If a response is not finite, or a user's function raises or returns no finite number.
    """
    fold, drawn, options = request.fold, request.drawn, request.options
    read = [
        [_responses(side, {p[i] for p in pairs}, options.device) for i, side in enumerate(both)]
        for both in request.sets
    ]
    tables: list[list[dict[str, Any]]] = [[] for _ in request.held_out]
    null, folds = drawn.null if drawn else None, int(fold.max()) + 1
    for k in range(folds):
        for a, b in pairs:
            train_x, train_y = (_split(read[0][i][name], None, fold, k) for i, name in enumerate((a, b)))
            for s, other in enumerate(read[1:] or read):
                x, y = (_split(read[0][i][n], other[i][n], fold, k) for i, n in enumerate((a, b)))
                for metric in metrics:
                    for direction in request.directions:
                        value = _Call(metric, (a, b), k)(*_ends(x, y, direction))
                        row = {"layer_x": a, "layer_y": b, "metric": metric.name, "direction": direction, "fold": k}
                        row |= {"score": value, "n_train": len(x[0]), "n_test": len(x[1])}
                        for end, values, (_, test) in (("x", read[0][0][a], x), ("y", read[0][1][b], y)):
                            row |= {f"units_{end}": values.shape[-1], f"dead_{end}": values.shape[-1] - test.shape[1]}
                        tables[s].append(row)
            if drawn is not None and null is not None:
                for metric in metrics:
                    for kind, direction, scores in _drawn(_Call(metric, (a, b), k), train_x, train_y, request):
                        triples = np.array([[[score, math.nan, math.nan] for score in scores]])
                        key = (a, b, metric.name, direction)
                        drawn.put(kind, key, folds, range(null.draws), [k], triples)
        if options.advance is not None:
            options.advance(len(pairs) * rounds(null))
    return [in_catalogue_order(pd.DataFrame(table)) for table in tables]


def rounds(null: Null | None) -> int:
    """How often each pair is scored on each fold."""
    return 1 + (len(null.kinds) * null.draws if null else 0)


@dataclass(frozen=True)
class _Call:
    """A user's metric on one pair of layers, one fold held out."""

    metric: Metric
    pair: Pair
    fold: int

    def __call__(self, source: Split, target: Split) -> float:
        assert self.metric.call is not None
        where = f"metric {self.metric.name} on {self.pair[0]} × {self.pair[1]}, fold {self.fold}"
        with user_code.telling(lambda why: f"{where}: {why}."):
            value = self.metric.call(source[0].clone(), target[0].clone(), source[1].clone(), target[1].clone())
        if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise UserError(f"{where} returned {type(value).__name__}: it must return one number.")
        if not math.isfinite(value):
            raise UserError(f"{where} returned {float(value)}: it must return a finite number.")
        return float(value)


def _drawn(call: _Call, x: Split, y: Split, request: Request) -> Iterator[tuple[str, str, list[float]]]:
    """Scores of all draws, by null and direction."""
    null, fold, directions = request.null, request.fold, request.directions
    if "shuffle" in null.kinds:
        found: dict[str, list[float]] = {direction: [] for direction in directions}
        for draw in range(null.draws):
            order = nulls.permutation(fold, null.seed, draw)
            moved = _reordered(x[0], order, fold != call.fold), _reordered(x[1], order, fold == call.fold)
            for direction in directions:
                found[direction].append(call(*_ends(moved, y, direction)))
        yield from (("shuffle", direction, scores) for direction, scores in found.items())
    for direction in directions if "rotation" in null.kinds else ():
        source, target = _ends(x, y, direction)
        scores = []
        for draw in range(null.draws):
            turn = nulls.orthogonal(source[0].shape[1], null.seed, draw).to(source[0])
            scores.append(call((source[0] @ turn, source[1] @ turn), target))
        yield "rotation", direction, scores


def _ends(x: Split, y: Split, direction: str) -> tuple[Split, Split]:
    return (x, y) if direction == "x->y" else (y, x)


def _responses(side: Representation, names: set[str], device: torch.device) -> dict[str, Tensor]:
    """(M, P, N) of each layer."""
    found = {}
    for name, values in side.read(sorted(names), 0, side.rows).items():
        check_finite(name, values, 0)
        found[name] = values.to(device, torch.float64).reshape(side.rows, -1, side.layers[name])
    return found


def _split(values: Tensor, other: Tensor | None, fold: Tensor, k: int) -> Split:
    """Training responses, and the held-out ones of ``other``, of the units that vary in training."""
    train, test = values[fold != k].flatten(0, 1), (values if other is None else other)[fold == k].flatten(0, 1)
    mean = train.mean(dim=0)
    live = alive((train - mean).square().sum(dim=0), len(train), mean, torch.zeros_like(mean))
    return train[:, live], test[:, live]


def _reordered(values: Tensor, order: Tensor, mine: Tensor) -> Tensor:
    """Responses (n·P, N) to the stimuli ``mine`` in an order of all stimuli that keeps the folds."""
    members = mine.nonzero()[:, 0]
    places = torch.searchsorted(members, order[members]).to(values.device)
    return values.unflatten(0, (len(members), -1))[places].flatten(0, 1)
