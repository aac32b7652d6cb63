"""The device that the numbers are computed on."""

from __future__ import annotations

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
