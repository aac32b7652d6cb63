"""Representational similarity analysis (Kriegeskorte et al. 2008): do two layers order pairs of stimuli alike?

The dissimilarity of two stimuli is 1 - Pearson r between their response patterns over units; the score is Spearman's
rank correlation of both layers' dissimilarities, over all pairs of stimuli. Ties share their mean rank. A pattern
that is the same in every unit correlates with none.
Ignored: the order of units, one common scale, and, stimulus by stimulus, a gain and an offset common to all units.
Not ignored: rotations, and offsets or scales of single units. It takes O(n² N) time and O(n²) memory for n stimuli.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from convergence.alignment.metrics.metric import Metric
from convergence.alignment.stacks import stacked

# Dissimilarities below this share of the largest spread are those of equal patterns, but for rounding.
_EQUAL = 1e-13
_BLOCK = 2**22  # entries computed at a time


def ranks(responses: Tensor) -> Tensor:
    """Ranks of the dissimilarities of (n, N) responses: (n, n) float32, centred, of norm √2, zero on the diagonal.

    NaN where all dissimilarities are the same.
    """
    patterns = normalize(responses - responses.mean(dim=1, keepdim=True), dim=1)
    flat = (patterns == 0).all(dim=1).double() / 2
    # 1 - r is half the squared distance of patterns of norm 1: taken about their mean it keeps its digits where all
    # patterns are much alike. A float32 then holds it, and equal ones tie whatever the order of summation.
    patterns -= patterns.mean(dim=0)
    half = patterns.square().sum(dim=1) / 2
    n = len(patterns)
    step = max(1, _BLOCK // n)
    table = torch.empty(n, n, dtype=torch.float32, device=responses.device)
    for i in range(0, n, step):
        distance = half[i : i + step, None] + half - patterns[i : i + step] @ patterns.T
        distance[distance < _EQUAL * half.max()] = 0
        table[i : i + step] = distance + flat[i : i + step, None] + flat
    upper = torch.ones_like(table, dtype=torch.bool).triu_(1)
    ordered = table.masked_select(upper).sort().values
    del upper
    middle = (len(ordered) - 1) / 2
    for i in range(0, n, step):
        block = table[i : i + step].contiguous()
        below, upto = (torch.searchsorted(ordered, block, right=right) for right in (False, True))
        table[i : i + step] = (below + upto - 1).double() / 2 - middle
    table.fill_diagonal_(0)
    return table.div_(correlation([table], [table]).squeeze().sqrt())


def correlation(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Tensor:
    """(X, Y) Spearman's correlations, from the ranks of layers over the same stimuli."""
    # Row by row: a float32 sum over all pairs of stimuli would lose digits.
    return torch.linalg.vecdot(stacked(xs)[:, None], stacked(ys)).double().sum(dim=-1) / 2


def reordered(table: Tensor, order: Tensor) -> Tensor:
    """The ranks with the stimuli in another order (n,)."""
    return table[order][:, order]


def bytes_taken(n: int, widths: Sequence[int]) -> int:
    """By the ranks of so many layers, and by making them."""
    return 4 * n * n * (len(widths) + 3)


METRIC = Metric(
    name="rsa",
    label="RSA",
    about="rank correlation of dissimilarities",
    place=8,
    look=("#DDCC77", "*", "-"),
    ignores=("order of units", "scale", "gain of each stimulus", "offset of each stimulus"),
    fitted=False,
    symmetric=True,
    single_position=True,
    least=3,
    prepare=ranks,
    compare=correlation,
    reorder=reordered,
    bytes_taken=bytes_taken,
)
