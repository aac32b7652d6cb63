"""From feature maps and tokens to units (METHODS: "from feature maps to units")."""

from __future__ import annotations

from math import prod

from torch import Tensor

from convergence.system.errors import UserError


def reduce(responses: Tensor, units: str) -> Tensor:
    """Units of one layer's output.

    Parameters
    ----------
    responses : (n, N), returned as it is; (n, C, H, W) maps, which may have more axes of space; or (n, T, N) tokens.
    units : ``center`` (maps: the unit at [H // 2, W // 2]), ``mean`` over space or tokens, ``cls`` (the first token),
        ``samples`` (each position a sample), or ``flatten``.

    Returns
    -------
    (n, N), or (n, P, N) with P positions for ``samples``.

    Raises
    ------
    UserError
        If the rule does not apply to a tensor of that shape.
    """
    if responses.ndim == 2:
        return responses
    if responses.ndim < 2:
        raise UserError(f"responses of shape {tuple(responses.shape)} are neither maps nor tokens: tap another layer.")
    if units == "flatten":
        return responses.flatten(1)
    if responses.ndim > 3:
        if units == "center":
            for side in responses.shape[2:]:
                responses = responses.select(2, side // 2)
            return responses
        if units == "mean":
            return responses.mean(dim=tuple(range(2, responses.ndim)))
        if units == "samples":
            return responses.flatten(2).transpose(1, 2)
    else:
        if units == "cls":
            return responses[:, 0]
        if units == "mean":
            return responses.mean(dim=1)
        if units == "samples":
            return responses
    kind, choice = ("maps", "center, mean") if responses.ndim > 3 else ("tokens", "cls, mean")
    raise UserError(f"units={units} does not apply to {kind}: use {choice}, samples or flatten.")


def size(shape: tuple[int, ...], units: str) -> tuple[int, int]:
    """Positions and units per stimulus that :func:`reduce` keeps of an output of ``shape``, without the batch axis."""
    if len(shape) == 1:
        return 1, shape[0]
    total = prod(shape)
    width = total if units == "flatten" else shape[0] if len(shape) > 2 else shape[-1]
    return (total // width if units == "samples" else 1), width
