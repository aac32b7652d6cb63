"""Linear centred kernel alignment, unbiased (Kornblith et al. 2019, with the estimator of Song et al. 2012, eq. 5).

With K = XXᵀ and L = YYᵀ, their diagonals set to zero, HSIC(K, L) = 1 / (n (n - 3)) times tr KL + (1ᵀK1)(1ᵀL1) / ((n -
1)(n - 2)) - 2 (1ᵀKL1) / (n - 2), and CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)). It is 0 on average for independent
data at any ratio of units to stimuli, which the plain estimator is not (Nguyen et al. 2021).

Neither kernel need be formed where the stimuli are many. Centring the units on these stimuli changes nothing, and
makes the rows of XXᵀ sum to zero; with d the squared norms of the centred stimuli, the bracket is ‖XᵀY‖² - n/(n - 2)
Σ dx dy + (Σ dx)(Σ dy)/((n - 1)(n - 2)).
Ignored: rotations and reflections of the units, one common scale, offsets. Not ignored: scales of single units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convergence.alignment.metrics.metric import Metric
from convergence.alignment.stacks import stacked

_SMALL = 1024  # stimuli up to which an (n, n) kernel costs nothing to keep


def needs_gram(stimuli: int, units: int) -> bool:
    """Whether kernels are compared as such, in n² steps to a pair; else by their units, in n N_x N_y."""
    return stimuli <= max(units, _SMALL)


@dataclass(frozen=True)
class Kernel:
    """A layer's kernel over n stimuli.

    Attributes
    ----------
    x : (n, N) responses, centred on these stimuli.
    squares : (n,) squared norms of the centred stimuli: the kernel's diagonal.
    gram : (n, n) the kernel itself, where it pays (see :func:`needs_gram`); else None.
    own : HSIC of the kernel with itself, times n (n - 3).
    """

    x: Tensor
    squares: Tensor
    gram: Tensor | None
    own: Tensor


def kernel(responses: Tensor) -> Kernel:
    """The kernel of (n, N) responses, n ≥ 4."""
    x = responses - responses.mean(dim=0)
    n, width = x.shape
    gram = x @ x.T if needs_gram(n, width) else None
    squares = x.square().sum(dim=1)
    product = (gram if gram is not None else x.T @ x).square().sum()
    return Kernel(x, squares, gram, _hsic(product, squares[None], squares[None]).squeeze())


def similarity(xs: Sequence[Kernel], ys: Sequence[Kernel]) -> Tensor:
    """(X, Y) CKA of kernels over the same stimuli, between -1 and 1; NaN where one of them is constant."""
    grams = [[kernel.gram.flatten() for kernel in side if kernel.gram is not None] for side in (xs, ys)]
    if [len(side) for side in grams] == [len(xs), len(ys)]:
        product = stacked(grams[0]) @ stacked(grams[1]).T
    else:
        product = torch.stack([torch.stack([(a.x.T @ b.x).square().sum() for b in ys]) for a in xs])
    squares, own = zip(
        *((torch.stack([k.squares for k in side]), torch.stack([k.own for k in side])) for side in (xs, ys)),
        strict=True,
    )
    return _hsic(product, *squares) / (own[0][:, None] * own[1]).sqrt()


def reordered(kernel: Kernel, order: Tensor) -> Kernel:
    """The kernel with its stimuli in another order (n,)."""
    gram = None if kernel.gram is None else kernel.gram[order][:, order]
    return Kernel(kernel.x[order], kernel.squares[order], gram, kernel.own)


def _hsic(product: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """(X, Y) from ‖XᵀY‖² of each, and the diagonals of the kernels, (X, n) and (Y, n)."""
    n = a.shape[-1]
    sums = a.sum(dim=1)[:, None] * b.sum(dim=1)
    return product - n / (n - 2) * (a @ b.T) + sums / ((n - 1) * (n - 2))


def bytes_taken(n: int, widths: Sequence[int]) -> int:
    """By the kernels of layers of these widths."""
    return 8 * sum(n * width + (n * n if needs_gram(n, width) else 0) for width in widths)


METRIC = Metric(
    name="cka",
    label="CKA",
    about="linear CKA, unbiased",
    place=7,
    look=("#D55E00", "P", "-."),
    ignores=("order of units", "scale", "rotation", "offset of each unit"),
    fitted=False,
    symmetric=True,
    least=4,
    prepare=kernel,
    compare=similarity,
    reorder=reordered,
    bytes_taken=bytes_taken,
)
