"""The device that the numbers are computed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

from convergence.system.errors import UserError

_KNOWN = ("cpu", "cuda")
_lock = Lock()
_within, _before = 0, (False, True)  # how many compute, and the flags before the first of them
_CHOICES = "use device=auto, cpu, cuda or cuda:N"


def resolve_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one.

    Raises
    ------
    UserError
        If there is no such device, or not here, or it is of a kind that scores can't be computed on.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise UserError(f"device={device} is not a device: {_CHOICES}.") from None
    if resolved.type == "mps":
        raise UserError(f"device={device} has no float64, which scores are computed in: {_CHOICES}.")
    if resolved.type not in _KNOWN:
        raise UserError(f"device={device} is of a kind that this program does not run on: {_CHOICES}.")
    if resolved.type == "cpu":
        return torch.device("cpu")  # there is but one, whatever its number
    if not torch.cuda.is_available():
        raise UserError(f"device={device}, but no CUDA device can be used here: use device=cpu or device=auto.")
    count = torch.cuda.device_count()
    if resolved.index is not None and resolved.index >= count:
        there = "cuda:0 is the only CUDA device" if count == 1 else f"there are cuda:0 to cuda:{count - 1}"
        raise UserError(f"device={device} is not here: {there}.")
    return resolved


@contextmanager
def float32_products(*, tf32: bool = False) -> Iterator[None]:
    """Within it, matrix products and convolutions in float32 are float32 on GPUs too, unless ``tf32`` is asked for.

    By default PyTorch rounds the factors of convolutions to 10 bits there. Of several threads within at once, the last
    to end puts back what was before.
    """
    global _before, _within
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    with _lock:
        if _within == 0:
            _before = matmul.allow_tf32, cudnn.allow_tf32
        _within += 1
        matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                matmul.allow_tf32, cudnn.allow_tf32 = _before


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device said that it has no memory left, each kind in its own words."""
    text = str(error).lower()
    said = "out of memory" in text or "not enough memory" in text
    return isinstance(error, torch.cuda.OutOfMemoryError) or (isinstance(error, RuntimeError) and said)
