"""The device that the numbers are computed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from convergence.system.errors import UserError


def resolve_device(device: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise UserError(f"device={device} is not a device: use auto, cpu, cuda or cuda:N.") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device={device}, but no CUDA device can be used here: use device=cpu or device=auto.")
    return resolved


@contextmanager
def float32_products(*, tf32: bool = False) -> Iterator[None]:
    """Within it, matrix products and convolutions in float32 are float32 on GPUs too, unless ``tf32`` is asked for.

    By default PyTorch rounds the factors of convolutions to 10 bits there.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device said that it has no memory left, each kind in its own words."""
    text = str(error).lower()
    said = "out of memory" in text or "not enough memory" in text
    return isinstance(error, torch.cuda.OutOfMemoryError) or (isinstance(error, RuntimeError) and said)
