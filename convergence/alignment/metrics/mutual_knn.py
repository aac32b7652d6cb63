"""Mutual nearest neighbours (Huh et al. 2024): the share of a stimulus's k neighbours that two layers agree on.

Neighbours are those of greatest cosine similarity between responses, k = 10, the stimulus itself left out; the score
is the mean over stimuli of |S_x ∩ S_y| / k. Unrelated layers share k / (n - 1) of n stimuli. A stimulus without any
response has no neighbours, and shares none; of neighbours that are equally near, which one counts is left to chance.
Ignored: rotations and reflections of the units, and a gain of each stimulus. Not ignored: offsets, scales of single
units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from convergence.alignment.metrics.metric import Metric
from convergence.alignment.stacks import stacked

NEIGHBOURS = 10
_BLOCK = 2**22  # entries computed at a time


def nearest(responses: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """(n, k) places of each stimulus's neighbours, nearest first; -1 for a stimulus without any response."""
    patterns = normalize(responses, dim=1)
    n = len(patterns)
    step = max(1, _BLOCK // n)
    places = torch.arange(n, device=patterns.device)
    found = []
    for i in range(0, n, step):
        similar = patterns[i : i + step] @ patterns.T
        similar[places[: len(similar)], places[i : i + step]] = -torch.inf
        found.append(similar.topk(k, dim=1).indices)
    return torch.where((patterns == 0).all(dim=1, keepdim=True), -1, torch.cat(found))


def overlap(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Tensor:
    """(X, Y) mean shares of the neighbours that are common to both, (n, k) each."""
    a, b = stacked(xs)[:, None, :, :, None], stacked(ys)[:, :, None]
    shared = (a == b) & (a >= 0)  # (X, Y, n, k, k)
    return shared.any(dim=-1).double().mean(dim=(-2, -1))


def reordered(places: Tensor, order: Tensor) -> Tensor:
    """The neighbours with the stimuli in another order (n,)."""
    now = torch.empty_like(order)
    now[order] = torch.arange(len(order), device=order.device)
    moved = places[order]
    return torch.where(moved < 0, moved, now[moved])


def bytes_taken(n: int, widths: Sequence[int]) -> int:
    """By the places of neighbours of so many layers."""
    return 8 * n * NEIGHBOURS * len(widths)


METRIC = Metric(
    name="mutual_knn",
    label="mutual k-NN",
    about="shared nearest neighbours (10)",
    place=9,
    look=("#000000", "+", "--"),
    ignores=("order of units", "scale", "rotation", "gain of each stimulus"),
    fitted=False,
    symmetric=True,
    single_position=True,
    least=12,
    prepare=nearest,
    compare=overlap,
    reorder=reordered,
    bytes_taken=bytes_taken,
)
