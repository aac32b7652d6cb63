"""What a forward hook sees of a module: the tensor among its outputs, and which of its axes are the features."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convergence.system.errors import UserError


def tensors_of(output: Any) -> Iterator[Tensor]:
    """All tensors of what a module returned: itself, or inside of tuples, mappings and dataclasses."""
    if isinstance(output, Tensor):
        yield output
        return
    if isinstance(output, Mapping):
        parts: Any = output.values()
    elif isinstance(output, tuple | list):
        parts = output
    elif is_dataclass(output):
        parts = (getattr(output, f.name) for f in fields(output))
    else:
        return
    for part in parts:
        yield from tensors_of(part)


def tensor_of(output: Any, batch: int | None = None) -> Tensor | None:
    """The first tensor of what a module returned; the first with a row for each image of the batch where one has."""
    tensors = list(tensors_of(output))
    by_image = [t for t in tensors if t.ndim >= 2 and len(t) == batch]
    return next(iter(by_image or tensors), None)


def response(module: nn.Module, output: Any, batch: int | None = None) -> Tensor | None:
    """A module's response: (n, N), tokens (n, T, N), or maps (n, C, H, W), wherever the module keeps its features.

    Linear layers and the blocks of some transformers (Swin) work on maps whose features come last, (n, H, W, C), and
    one-dimensional convolutions on sequences whose features come first, (n, N, T). Maps may have more axes of space.
    Tokens stay as they are where they come before the images, (T, n, N).
    """
    if isinstance(module, nn.MultiheadAttention):
        output = output[0]  # not its weights
    tensor = tensor_of(output, batch)
    if tensor is None or tensor.ndim < 2:
        return None
    if tensor.ndim == 3 and isinstance(module, nn.Conv1d):
        return tensor.movedim(1, -1)
    if tensor.ndim >= 4 and _features_last(module, tensor):
        return tensor.movedim(-1, 1)
    return tensor


def _features_last(module: nn.Module, maps: Tensor) -> bool:
    if isinstance(module, nn.Linear) or type(module) is nn.LayerNorm:
        return True
    normalised = {getattr(c, "normalized_shape", None) for c in module.children()}
    return (maps.shape[-1],) in normalised and (maps.shape[1],) not in normalised


def refuse_other_inputs(model: nn.Module, name: str) -> None:
    """Raise UserError if the network's forward needs more than images."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # not to be told for some built in C
        return
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    needed = [p.name for p in named if p.default is p.empty]
    more = [p.name for p in named[1:] if p.default is p.empty]
    if more:
        raise UserError(
            f"the forward pass of {name} needs {' and '.join(needed)}, and is given the images alone: give "
            f"{' and '.join(more)} a default, or wrap the network in a module whose forward takes images and passes "
            f"{'it' if len(more) == 1 else 'them'} on."
        )


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
