"""Networks of names and shapes alone, on the meta device, where filling the weights takes time and does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# What torch's and the libraries' initialisations call.
_FILLING = {
    *(Tensor.uniform_, Tensor.normal_, Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_),
    *(Tensor.zero_, Tensor.fill_),
}


@contextmanager
def without_memory() -> Iterator[None]:
    """Within it tensors are made on the meta device, and what would fill them there is passed over."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _FILLING and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))
