"""The polar factor U Vᵀ of matrices U S Vᵀ, on their numerical range: directions without evidence predict nothing.

On a CPU one matrix at a time, by eigenvectors and singular vectors. On a GPU, whose solvers for these are slow, all at
once by products and Cholesky factors (QDWH: Nakatsukasa, Bai & Gygi 2010, eq. 3.3), which need full numerical rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_forced: list[bool] = []  # by tests
# Singular values down to this share of the largest come from the Gram matrix, which squares their condition number
# (1e-4 leaves eight digits); the weaker ones, often few, from the Gram matrix of what is left.
_STRONG = 1e-4
_STEPS = 7
_LEAST = 1e-5  # singular values down to this share of the largest are brought to 1 in so many steps
_FAR = 1e-9  # from an isometry, by the root mean square over its columns: a singular value below _LEAST


@contextmanager
def forced(products: bool) -> Iterator[None]:
    """Within it, polar factors come from products on any device, or on none."""
    _forced.append(products)
    try:
        yield
    finally:
        _forced.pop()


def by_products(cross: Tensor) -> bool:
    """Whether polar factors of these matrices come from products and Cholesky factors."""
    return _forced[-1] if _forced else cross.device.type == "cuda"


def iterated(cross: Tensor) -> tuple[Tensor, Tensor]:
    """Polar factors of (…, N_x, N_y) by products, and where they cannot be trusted (…,): of too low a rank."""
    if cross.shape[-2] < cross.shape[-1]:
        factor, doubtful = iterated(cross.mT)
        return factor.mT, doubtful
    n = cross.shape[-1]
    identity = torch.eye(n, dtype=cross.dtype, device=cross.device)
    size = torch.linalg.matrix_norm(cross, keepdim=True)
    x = cross / torch.where(size > 0, size, 1.0)
    least = _LEAST / n**0.5  # the Frobenius norm is at most so much above the largest singular value
    for _ in range(_STEPS):
        a, b, c, least = _weights(least)
        inner = identity + c * (x.mT @ x)
        factor = torch.linalg.cholesky_ex(inner).L
        x = (b / c) * x + (a - b / c) * torch.cholesky_solve(x.mT, factor).mT
    gram = x.mT @ x
    x = 1.5 * x - 0.5 * (x @ gram)  # one step of Newton and Schulz for the last digits
    return x, (gram - identity).square().sum(dim=(-2, -1)) > n * _FAR**2


def _weights(least: float) -> tuple[float, float, float, float]:
    """Of one step for singular values between ``least`` and 1, and what ``least`` becomes."""
    squared = least * least
    root = (4 * (1 - squared) / (squared * squared)) ** (1 / 3) if least < 1 else 0.0
    h = (1 + root) ** 0.5
    a = h + 0.5 * (8 - 4 * root + 8 * (2 - squared) / (squared * h)) ** 0.5
    b = (a - 1) ** 2 / 4
    c = a + b - 1
    return a, b, c, min(1.0, least * (a + b * squared) / (1 + c * squared))


def exact(cross: Tensor, noise: Tensor, where: Tensor | None = None) -> Tensor:
    """Polar factors of (…, N_x, N_y), one by one, of their singular values above ``noise`` (…,).

    Given ``where`` (…,), of those alone; the others are zero.
    """
    floors = noise.expand(cross.shape[:-2])
    if where is not None:
        factors = torch.zeros_like(cross)
        factors[where] = exact(cross[where], floors[where])
        return factors
    if cross.numel() == 0:  # a layer without live units
        return torch.zeros_like(cross)
    each = zip(cross.reshape(-1, *cross.shape[-2:]), floors.flatten().tolist(), strict=True)
    return torch.stack([_exact(*one) for one in each]).view_as(cross)


def _exact(cross: Tensor, noise: float) -> Tensor:
    """Of one matrix, its wider side first made the columns."""
    if cross.shape[0] < cross.shape[1]:
        return _exact(cross.T, noise).T
    squares, right = torch.linalg.eigh(cross.T @ cross)
    largest = float(squares[-1].clamp_min(0).sqrt())
    floor = max(noise, len(cross) * torch.finfo(cross.dtype).eps * largest, 1e-12 * largest)
    weak = int((squares <= max(floor, _STRONG * largest) ** 2).sum())
    mapped = cross @ right
    left = mapped[:, weak:] / squares[weak:].sqrt()
    polar = left @ right[:, weak:].T
    rest = mapped[:, :weak] - left @ (left.T @ mapped[:, :weak])
    if float(rest.norm()) > floor:
        squares, turn = torch.linalg.eigh(rest.T @ rest)
        first = int((squares <= floor**2).sum())
        polar += (rest @ turn[:, first:] / squares[first:].sqrt()) @ (right[:, :weak] @ turn[:, first:]).T
    return polar
