"""What a forward hook sees of a module: the tensor among its outputs, and which of its axes are the features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convergence.system.errors import UserError


def tensor_of(output: Any) -> Tensor | None:
    """The first tensor of what a module returned: itself, or inside of a tuple, a mapping or a dataclass."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        parts: Any = output.values()
    elif isinstance(output, tuple | list):
        parts = output
    elif is_dataclass(output):
        parts = (getattr(output, f.name) for f in fields(output))
    else:
        return None
    return next((found for part in parts if (found := tensor_of(part)) is not None), None)


def response(module: nn.Module, output: Any) -> Tensor | None:
    """A module's response: (n, N), tokens (n, T, N), or maps (n, C, H, W), wherever the module keeps its features.

    Linear layers and the blocks of some transformers (Swin) work on maps whose features come last, (n, H, W, C).
    """
    tensor = tensor_of(output)
    if tensor is not None and tensor.ndim == 4 and _features_last(module, tensor):
        return tensor.movedim(-1, 1)
    return tensor


def _features_last(module: nn.Module, maps: Tensor) -> bool:
    if isinstance(module, nn.Linear) or type(module) is nn.LayerNorm:
        return True
    normalised = {c.normalized_shape for c in module.children() if isinstance(c, nn.LayerNorm)}
    return (maps.shape[-1],) in normalised and (maps.shape[1],) not in normalised


def refuse_compiled(model: nn.Module, name: str) -> None:
    """Raise UserError if the network, or a part of it, is compiled or scripted: hooks do not see inside of it."""
    for place, module in model.named_modules():
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        if compiled or isinstance(module, torch.jit.ScriptModule):
            what = f"'{place}' of {name}" if place else name
            raise UserError(
                f"{what} is compiled or scripted, and its layers can't be tapped: give the plain module (what went "
                "into torch.compile or torch.jit.script; its state_dict as a checkpoint does)."
            )
