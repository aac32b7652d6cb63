"""Forward hooks: the units of the tapped layers, as a forward pass makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from convergence.alignment import units as rules
from convergence.models.options import Units
from convergence.models.outputs import response, tensors_of
from convergence.system.errors import UserError


@contextmanager
def taps(
    model: nn.Module,
    layers: Sequence[str],
    units: Units | Mapping[str, str] = Units.center,
    image_axes: Mapping[str, int] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """A dictionary that each forward pass fills with the units of ``layers``; the hooks are removed afterwards.

    A module called twice gives ``name`` and ``name:1``. Only the units that are kept are cloned, since a later
    in-place operation may overwrite the map.

    Parameters
    ----------
    units : the rule for all layers, or for each.
    image_axes : axis of the images in each layer's response; 0 where it is not told.

    Raises
    ------
    UserError
        If a layer is no module of the network; in the forward pass, if it gives no tensor or none with a row for each
        image.
    """
    taken: dict[str, Tensor] = {}
    rule = {layer: units.value if isinstance(units, Units) else units[layer] for layer in layers}
    modules = dict(model.named_modules())
    hooks: list[Any] = []
    calls: dict[str, int] = {}
    batch = 0

    def start(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal batch
        batch = len(next(tensors_of([inputs, named])))
        taken.clear()
        calls.clear()

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            again = calls.get(name, 0)
            calls[name] = again + 1
            label = f"{name}:{again}" if again else name
            if label not in rule:
                return
            tensor = response(module, output, batch)
            if tensor is None:
                raise UserError(
                    f"layer '{name}' gives no tensor, so it can't be tapped; choose others with model.layers."
                )
            axis = (image_axes or {}).get(label, 0)
            if axis:
                tensor = tensor.movedim(axis, 0)
            if len(tensor) != batch:
                raise UserError(
                    f"layer '{name}' gives {len(tensor)} rows for {batch} images: its first axis is not the "
                    "stimulus, so it can't be tapped; choose other layers with model.layers."
                )
            taken[label] = rules.reduce(tensor, rule[label]).clone()

        return hook

    try:
        hooks.append(model.register_forward_pre_hook(start, with_kwargs=True))
        for name in dict.fromkeys(layer.split(":")[0] for layer in layers):
            if name not in modules:
                raise UserError(f"layer '{name}' is not a module of the network.")
            hooks.append(modules[name].register_forward_hook(keep(name)))
        yield taken
    finally:
        for handle in hooks:
            handle.remove()
