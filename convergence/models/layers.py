"""Which layers are tapped."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from convergence.models.outputs import refuse_compiled, response
from convergence.system.errors import UserError

_SHORTCUTS = {"downsample", "shortcut"}


@dataclass(frozen=True)
class Layer:
    """One module as it was called: its class, and its response's shape, (N,), (T, N) or (C, H, W)."""

    kind: str
    shape: tuple[int, ...]


def called(model: nn.Module, example: Tensor) -> dict[str, Layer]:
    """All modules that a forward pass calls and that give a tensor, in the order in which they finish.

    A module called twice is ``name`` and ``name:1``.
    """
    found: dict[str, Layer] = {}
    hooks = []

    def tap(name: str, module: nn.Module) -> None:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            tensor = response(module, output)
            if tensor is not None and tensor.ndim >= 2:
                label, again = name, 0
                while label in found:
                    again += 1
                    label = f"{name}:{again}"
                found[label] = Layer(type(module).__name__, tuple(tensor.shape[1:]))

        hooks.append(module.register_forward_hook(hook))

    for name, module in model.named_modules():
        if name:
            tap(name, module)
    try:
        with torch.inference_mode():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def choose(model: nn.Module, example: Tensor, patterns: Sequence[str] | None, name: str) -> dict[str, Layer]:
    """The layers to tap, in forward order.

    Without patterns: every convolution and linear layer, shortcuts left out; for transformers their blocks. A pattern
    is a module's name, or shell style (``layer?.conv*``).

    Raises
    ------
    UserError
        If a pattern matches nothing, naming the nearest.
    """
    refuse_compiled(model, name)
    every = called(model, example)
    if patterns is None:
        modules = dict(model.named_modules())
        blocks = {n for n, m in modules.items() if n and any("Attention" in type(c).__name__ for c in m.children())}
        wanted = [n for n in every if n.split(":")[0] in blocks]
        if not wanted:
            plain = (nn.modules.conv._ConvNd, nn.Linear)
            wanted = [
                n for n in every if isinstance(modules[n.split(":")[0]], plain) and not _SHORTCUTS & {*n.split(".")}
            ]
        return {n: every[n] for n in wanted if len(every[n].shape) <= 3}
    chosen: set[str] = set()
    for pattern in patterns:
        matches = {n for n in every if fnmatchcase(n, pattern)}
        if not matches:
            near = difflib.get_close_matches(pattern, list(every), n=3, cutoff=0.0)
            raise UserError(f"model.layers: '{pattern}' matches no layer of {name}: the nearest are {', '.join(near)}.")
        chosen |= matches
    return {n: layer for n, layer in every.items() if n in chosen}
