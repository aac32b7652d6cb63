"""Which layers are tapped, and how each becomes units by default.

One rule for all architectures: every convolution and linear layer in the order of the forward pass, from the first to
the head, shortcuts left out; and of attention and token mixing, which have no units of their own before they are added
to the stream, every residual block as a whole.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

from torch import Tensor, nn

from convergence.models.outputs import refuse_compiled, refuse_other_inputs
from convergence.models.sizes import traced
from convergence.models.steady import image_axis, pilots, refuse_unsteady
from convergence.models.trace import Trace
from convergence.system.errors import UserError

_SHORTCUTS = {"downsample", "shortcut"}
_CLASS_TOKEN = re.compile(r"(cls|class)(_?(token|embedding)s?)?(_?\d+)?")  # how libraries call their parameter
_NO_FEATURES = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Layer:
    """One module as it was called: its class, its response's shape, (N,), (T, N) or (C, H, W), and how that becomes
    units: the centre of maps, the class token of tokens that hold one, else their mean.

    ``image_axis`` is the batch's: 1 where tokens come first, (T, n, N), as in transformers without ``batch_first``.
    """

    kind: str
    shape: tuple[int, ...]
    units: str = "center"
    image_axis: int = 0


def choose(model: nn.Module, example: Tensor, patterns: Sequence[str] | None, name: str) -> dict[str, Layer]:
    """The layers to tap, in forward order.

    Without patterns: the rule above. A pattern is a module's name, or shell style (``layer?.conv*``). What has no row
    for each image, such as windows and patches that were moved into the batch, is no layer.

    Parameters
    ----------
    example : an image (1, 3, h, w) of the size that the network is to see.

    Raises
    ------
    UserError
        If the network does not take such images (with the size that it takes), if a pattern matches nothing that can
        be tapped (naming the nearest, or why not), or if a layer does not answer an image in the same way each time.
    """
    refuse_compiled(model, name)
    refuse_other_inputs(model, name)
    found, again = (traced(model, images, name) for images in pilots(example))
    layers = _described(model, found, again)
    named = patterns is not None
    chosen = _matching(patterns or [], model, found, layers, name) if named else _default(model, found, layers)
    refuse_unsteady(chosen, found, again, example.dtype, name)
    if not chosen:
        raise UserError(
            f"{name} calls no convolution, linear layer or residual block: name the modules to tap by model.layers."
        )
    return chosen


def _described(model: nn.Module, found: Trace, again: Trace) -> dict[str, Layer]:
    has_class = any(_CLASS_TOKEN.fullmatch(name.split(".")[-1]) for name, _ in model.named_parameters())
    modules = dict(model.named_modules())
    areas: set[int] = set()  # positions of the convolutions so far: so many tokens are the patches alone
    layers = {}
    for label, response in found.responses.items():
        axis = image_axis(label, found, again)
        units, shape = "center", [*response.shape]
        del shape[axis or 0]
        if len(shape) > 2 and isinstance(modules[response.name], nn.modules.conv._ConvNd):
            areas.add(prod(shape[1:]))
        elif len(shape) == 2:
            units = "cls" if has_class and shape[0] not in areas else "mean"
        if response.name and axis is not None:
            layers[label] = Layer(type(modules[response.name]).__name__, tuple(shape), units, axis)
    return layers


def _default(model: nn.Module, found: Trace, layers: dict[str, Layer]) -> dict[str, Layer]:
    blocks = found.blocks()
    modules = dict(model.named_modules())

    def is_tapped(label: str) -> bool:
        response = found.responses[label]
        if response.name in blocks:
            return True
        is_shortcut = bool(_SHORTCUTS & {*response.name.split(".")})
        return _has_features(modules[response.name]) and not is_shortcut and not response.within & blocks

    return {label: layer for label, layer in layers.items() if is_tapped(label)}


def _has_features(module: nn.Module) -> bool:
    """Whether it is a convolution or a linear layer, of torch's classes or a library's own."""
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        return True
    weight = module._parameters.get("weight")
    is_leaf = next(module.children(), None) is None and not isinstance(module, _NO_FEATURES)
    return is_leaf and weight is not None and weight.ndim >= 2


def _matching(
    patterns: Sequence[str], model: nn.Module, found: Trace, layers: dict[str, Layer], name: str
) -> dict[str, Layer]:
    chosen: set[str] = set()
    for pattern in patterns:
        matches = {label for label in layers if fnmatchcase(label, pattern)}
        if not matches:
            raise UserError(f"model.layers: '{pattern}' {_why(pattern, model, found, list(layers), name)}.")
        chosen |= matches
    return {label: layer for label, layer in layers.items() if label in chosen}


def _why(pattern: str, model: nn.Module, found: Trace, labels: Sequence[str], name: str) -> str:
    """Why a pattern gives no layer."""
    near = ", ".join(difflib.get_close_matches(pattern, labels, n=3, cutoff=0.0))
    if any(fnmatchcase(label, pattern) for label in found.responses):
        return (
            f"of {name} has no row for each image (its first axis is not the stimulus), so it can't be tapped: the "
            f"nearest that can are {near}"
        )
    called = {n for n in found.silent if fnmatchcase(n, pattern)}
    if called:
        return f"of {name} gives no tensor, so it can't be tapped: the nearest that can are {near}"
    if any(fnmatchcase(n, pattern) for n, _ in model.named_modules()):
        return (
            f"is a module of {name}, but its forward pass never calls it, so there is nothing to tap: the nearest that "
            f"it calls are {near}"
        )
    return f"matches no layer of {name}: the nearest are {near}"
