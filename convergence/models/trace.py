"""What a forward pass does: which modules it calls, what they give, and which of them are residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convergence.models.outputs import response, tensors_of

_ROW = 1024  # numbers that are kept of a response to an image, about
_SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_PRODUCTS = {
    *("matmul", "__matmul__", "__rmatmul__", "bmm", "baddbmm", "einsum"),
    *("scaled_dot_product_attention", "multi_head_attention_forward", "_native_multi_head_attention"),
}


@dataclass(frozen=True)
class Response:
    """What one call of a module gave: its shape, with the batch axis, and the modules that were at work around it.

    ``rows`` are some of its numbers for each image, (n, K), by the axis that may be that of the images.
    """

    name: str
    shape: tuple[int, ...]
    within: frozenset[str]
    rows: Mapping[int, Tensor]


@dataclass
class Trace:
    """One forward pass.

    Attributes
    ----------
    responses : by call, in the order in which the calls finish. A module called twice is ``name`` and ``name:1``.
    silent : modules that were called and gave no tensor.
    residual : modules that add two activations of the shape that they return.
    attending : modules in which two activations are multiplied as matrices, in them or in their parts.
    on_tokens : modules with linear layers on tokens (n, T, N), in them or in their parts.
    """

    responses: dict[str, Response] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    residual: set[str] = field(default_factory=set)
    attending: set[str] = field(default_factory=set)
    on_tokens: set[str] = field(default_factory=set)

    def blocks(self) -> set[str]:
        """Residual blocks of attention, the innermost; and those of token mixers without attention, the outermost."""
        attention = {n for n in self.residual & self.attending if n}
        attention = {n for n in attention if not any(_inside(other, n) for other in attention)}
        mixers = {n for n in (self.residual & self.on_tokens) - self.attending if n}
        mixers = {n for n in mixers if not any(_inside(n, other) for other in mixers | attention)}
        return attention | mixers


def _inside(name: str, other: str) -> bool:
    return name.startswith(f"{other}.")


def trace(model: nn.Module, images: Tensor) -> Trace:
    """Send ``images`` through the model and look; the model is left as it was, also after an error."""
    found = Trace()
    stack: list[tuple[str, set[tuple[int, ...]]]] = []  # modules at work, with the shapes of the sums that they made
    with _hooked(model, found, stack, len(images)), torch.inference_mode(), _Watch(found, stack):
        model(images)
    return found


@contextmanager
def _hooked(model: nn.Module, found: Trace, stack: list[Any], batch: int) -> Iterator[None]:
    def enter(name: str) -> Callable[..., None]:
        return lambda module, inputs: stack.append((name, set()))

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            _, sums = stack.pop()
            if any(_is_stream(added, tuple(t.shape)) for added in sums for t in tensors_of(output)):
                found.residual.add(name)
            tensor = response(module, output, batch)
            if tensor is None:
                found.silent.add(name)
                return
            if tensor.ndim == 3 and isinstance(module, nn.Linear | nn.Conv1d):
                found.on_tokens.update(outer for outer, _ in stack)
            label, again = name, 0
            while label in found.responses:
                again += 1
                label = f"{name}:{again}"
            within = frozenset(outer for outer, _ in stack)
            found.responses[label] = Response(name, tuple(tensor.shape), within, _rows(tensor, batch))

        return hook

    hooks: list[Any] = []
    try:
        for name, module in model.named_modules():
            hooks += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave(name))]
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rows(tensor: Tensor, batch: int) -> dict[int, Tensor]:
    axes = [axis for axis in (0, 1)[: 1 + (tensor.ndim == 3)] if tensor.shape[axis] == batch]
    step = max(1, tensor.numel() // (batch * _ROW))
    # Copied: what comes next may overwrite them.
    return {a: tensor.movedim(a, 0).reshape(batch, -1)[:, ::step].to(torch.float32, copy=True) for a in axes}


def _is_stream(added: tuple[int, ...], output: tuple[int, ...]) -> bool:
    """Whether a sum is what a module returns, in its shape or another: tokens or maps; or some of the tokens of it."""
    if added == output:
        return True
    if min(len(added), len(output)) < 3 or added[0] != output[0] or not _features(added) & _features(output):
        return False
    return prod(added) == prod(output) or (len(added) == len(output) == 3 and added[1] < output[1])


def _features(shape: tuple[int, ...]) -> set[int]:
    """How many features a response of that shape may have: those of tokens come last, those of maps first or last."""
    return {shape[-1]} if len(shape) == 3 else {shape[1], shape[-1]}


class _Watch(TorchFunctionMode):
    """Notes sums and products of activations, and the modules that make them."""

    def __init__(self, found: Trace, stack: list[tuple[str, set[tuple[int, ...]]]]) -> None:
        super().__init__()
        self._found, self._stack = found, stack

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in _SUMS and self._stack and isinstance(result, Tensor):
            if all(t.shape == result.shape for t in _activations(args, kwargs, 2)):
                self._stack[-1][1].add(tuple(result.shape))
        elif name in _PRODUCTS and len(_activations(args, kwargs)) > 1:
            product = next(tensors_of(result), None)
            # A product that gives one vector only weighs positions, as in the gates of some convolutional networks.
            if product is not None and product.ndim > 2 and min(product.shape[-2:]) > 1:
                self._found.attending.update(outer for outer, _ in self._stack)
        return result


def _activations(args: Any, kwargs: Mapping[str, Any] | None, first: int | None = None) -> list[Tensor]:
    """The tensors among the arguments that are no parameters."""
    tensors = [*tensors_of(args), *tensors_of(kwargs or {})]
    return [t for t in tensors[:first] if not isinstance(t, nn.Parameter)]
