"""Measures without a fit: from the held-out fold's stimuli to rows. The training folds are not looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convergence.alignment.chance import null as nulls
from convergence.alignment.metrics.catalogue import MEASURES, find
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.request import Request
from convergence.alignment.responses import held_out
from convergence.alignment.stacks import batches

_TOGETHER = 2**20  # pairs of stimuli that are compared together, of all pairs of layers and draws


def cost(
    widths_x: Mapping[str, int], widths_y: Mapping[str, int], pairs: Sequence[Pair], n: int, metrics: Sequence[str]
) -> float:
    """Peak bytes of a tile: ``n`` responses of each layer, what the costliest measure takes from them, its scratch,
    and what lies side by side while layers are compared."""
    widths = [
        *(widths_x[a] for a in {a for a, _ in pairs}),
        *(widths_y[b] for b in {b for _, b in pairs}),
    ]
    taken = [metric.bytes_taken(n, widths) for m in metrics if (metric := find(m)).bytes_taken]
    compared = 2 * 8 * min(_TOGETHER, n * n * len(pairs))
    return 8 * n * sum(widths) + max(taken, default=0) + 32 * min(n * n, 2**22) + compared


def score_tile(
    request: Request, place: int, pairs: Sequence[Pair], metrics: Sequence[str], chunk: int
) -> list[dict[str, Any]]:
    """Rows of all pairs and folds; a symmetric score stands in both directions, so that readers need not know.

    Parameters
    ----------
    place : which of the held-out sets; progress is told of the first.

    Raises
    ------
    UserError
        If a response is not finite.
    """
    rows, (x, y) = [], request.held_out[place]
    fold, directions, drawn, device = request.fold, request.directions, request.drawn, request.options.device
    folds = int(fold.max()) + 1
    null = drawn.null if drawn is not None and "shuffle" in drawn.null.kinds else None
    orders = [nulls.permutation(fold, null.seed, draw) for draw in range(null.draws)] if null else []
    for k in range(folds):
        responses_x, responses_y = (
            held_out(side, (pair[i] for pair in pairs), fold, k, device=device, chunk=chunk)
            for i, side in enumerate((x, y))
        )
        within = [_within(order, fold, k, x.positions[pairs[0][0]]).to(device) for order in orders]
        for metric in metrics:
            mine = [(a, b) for a, b in pairs if MEASURES[metric].applies(x.layers[a], y.layers[b], x.positions[a])]
            for (a, b), (value, *chance) in _values(metric, mine, responses_x, responses_y, within).items():
                n, live_x = responses_x[a].shape
                row = {
                    "layer_x": a,
                    "layer_y": b,
                    "metric": metric,
                    "fold": k,
                    "score": value,
                    "n_train": len(fold) * x.positions[a] - n,
                    "n_test": n,
                    "units_x": x.layers[a],
                    "units_y": y.layers[b],
                    "dead_x": x.layers[a] - live_x,
                    "dead_y": y.layers[b] - responses_y[b].shape[1],
                }
                rows += [{**row, "direction": direction} for direction in directions]
                if drawn is not None and chance:
                    numbers = np.array([[[score, np.nan, np.nan] for score in chance]])
                    for direction in directions:
                        drawn.put("shuffle", (a, b, metric, direction), folds, range(len(chance)), [k], numbers)
        if request.options.advance is not None and place == 0:
            request.options.advance(len(pairs) * (1 + len(orders)))
    return rows


def _within(order: Tensor, fold: Tensor, k: int, positions: int) -> Tensor:
    """An order of all stimuli that keeps the folds, as an order of the samples of fold ``k``."""
    members = (fold == k).nonzero()[:, 0]
    places = torch.searchsorted(members, order[members])
    return (places[:, None] * positions + torch.arange(positions)).flatten()


def _values(
    metric: str,
    pairs: Sequence[Pair],
    responses_x: dict[str, Tensor],
    responses_y: dict[str, Tensor],
    orders: Sequence[Tensor],
) -> dict[Pair, list[float]]:
    """What the measure makes of each pair, then of each pair with the stimuli of x in each of the orders."""
    steps = MEASURES[metric]
    assert steps.prepare is not None
    assert steps.compare is not None
    assert steps.reorder is not None
    y = {b: steps.prepare(responses_y[b]) for b in dict.fromkeys(b for _, b in pairs)}
    found: dict[Pair, list[float]] = {}
    for a in dict.fromkeys(a for a, _ in pairs):
        x, partners = steps.prepare(responses_x[a]), [b for first, b in pairs if first == a]
        room = max(1, _TOGETHER // len(responses_x[a]) ** 2)  # pairs of layers
        few = min(len(partners), max(1, math.isqrt(room)))
        scores = []
        for some in batches([None, *orders], max(1, room // few)):
            reordered = [x if order is None else steps.reorder(x, order) for order in some]
            parts = [steps.compare(reordered, [y[b] for b in mine]) for mine in batches(partners, few)]
            scores.append(torch.cat(parts, dim=1))
        found |= dict(zip(((a, b) for b in partners), torch.cat(scores).T.tolist(), strict=True))
    return found
