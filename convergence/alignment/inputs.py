"""What callers bring to ``align``: arrays of any kind, as tensors of real numbers that are never written to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convergence.system.errors import UserError

_WANTED = "give (M, N) or (M, C, H, W) real numbers"


def layers(given: Any, side: str) -> dict[str, Tensor]:
    """Tensors by layer name, sharing memory with what was given wherever its type allows.

    Parameters
    ----------
    given : a mapping from layer name to array, or one array, whose layer is then named as the side.
    side : ``x`` or ``y``.

    Raises
    ------
    UserError
        If there is no layer, or one is not made of real numbers or has not 2 to 4 dimensions, naming it.
    """
    by_name = given if isinstance(given, Mapping) else {side: given}
    if not by_name:
        raise UserError(f"{side} has no layers: give an (M, N) array, or a mapping from layer name to arrays.")
    found = {}
    for name, values in by_name.items():
        tensor = _tensor(values, f"layer '{name}' of {side}")
        if tensor.ndim not in (2, 3, 4) or 0 in tensor.shape:
            raise UserError(f"layer '{name}' of {side} has shape {tuple(tensor.shape)}: {_WANTED}.")
        found[str(name)] = tensor
    if len(found) < len(by_name):
        raise UserError(f"{side} has two layers whose names read the same: give each a name of its own.")
    return found


def _tensor(values: Any, what: str) -> Tensor:
    if not isinstance(values, Tensor):
        return _of_array(values, what)
    plain = values.layout is torch.strided and not values.is_quantized and values.device.type != "meta"
    if not plain or values.is_complex():
        kind = values.dtype if plain else "sparse, quantised or without data"
        raise UserError(f"{what} is a tensor that is {kind}: {_WANTED}, dense and in memory.")
    values = values.detach().resolve_neg()
    return values if values.is_floating_point() else values.to(torch.float64)


def _of_array(values: Any, what: str) -> Tensor:
    try:
        array = np.ma.filled(values, np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} is no array ({str(error).splitlines()[0]}): {_WANTED}.") from None
    if array.dtype.kind not in "fiub":
        kind = "of rows of different lengths or of objects" if array.dtype.kind == "O" else f"of type {array.dtype}"
        raise UserError(f"{what} is {kind}: {_WANTED}.")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():  # a read-only array is fine: nothing here writes to it
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)
