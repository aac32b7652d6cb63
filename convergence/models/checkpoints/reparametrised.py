"""Weights that are kept in parts: pruned, weight-normalised, or spectrally normalised."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

_PARAMETRIZED = ".parametrizations."


def whole(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """The weights that a network computes from parts, under their plain names, if it expects these.

    ``w_orig`` × ``w_mask`` is pruned (torch.nn.utils.prune); ``w_g`` and ``w_v``, or ``original0`` and ``original1``,
    are length and direction (Salimans & Kingma 2016); ``w_orig`` with ``w_u`` and ``w_v`` is divided by the largest
    singular value as these vectors tell it (Miyato et al. 2018).
    """
    found = dict(state)
    if any(name.endswith(("_orig", "_g", "original0", "original")) for name in expected):
        return found
    for name in state:
        base, _, last = name.rpartition(".")
        if last.endswith("_orig"):
            _join(found, name, f"{base}.{last.removesuffix('_orig')}" if base else last.removesuffix("_orig"))
        elif last.endswith("_g") and name[:-1] + "v" in state:
            plain, direction = name[:-2], name[:-1] + "v"
            found[plain] = _normalised(found.pop(name), found.pop(direction))
        elif last == "original0" and _PARAMETRIZED in name:
            direction = name[:-1] + "1"
            if direction in found:
                found[base.replace(_PARAMETRIZED, ".")] = _normalised(found.pop(name), found.pop(direction))
        elif last == "original" and _PARAMETRIZED in name:
            u, v = f"{base}.0._u", f"{base}.0._v"
            if u in found and v in found:
                found[base.replace(_PARAMETRIZED, ".")] = _spectral(found.pop(name), found.pop(u), found.pop(v))
    return found


def _join(found: dict[str, Tensor], original: str, plain: str) -> None:
    mask, u, v = (f"{plain}_{part}" for part in ("mask", "u", "v"))
    if mask in found:
        weight = found.pop(original)
        found[plain] = weight * found.pop(mask).to(weight.dtype)
    elif u in found and v in found:
        found[plain] = _spectral(found.pop(original), found.pop(u), found.pop(v))


def _normalised(length: Tensor, direction: Tensor) -> Tensor:
    others = [axis for axis in range(direction.ndim) if length.ndim > axis and length.shape[axis] == 1]
    norm = torch.linalg.vector_norm(direction, dim=others, keepdim=True) if others else direction.norm()
    return direction * (length / norm)


def _spectral(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    matrix = weight.flatten(1)
    if matrix.shape != (len(u), len(v)):  # transposed convolutions keep their outputs in the second axis
        matrix = weight.transpose(0, 1).flatten(1)
    return weight / torch.dot(u, matrix @ v)
