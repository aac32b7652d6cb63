"""Layers that depend on weights which a checkpoint does not have."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from convergence.models.checkpoints.load import Fit
from convergence.models.layers import Layer
from convergence.models.trace import trace
from convergence.system.errors import UserError


def independent(
    model: nn.Module, example: Tensor, layers: Mapping[str, Layer], fitting: Fit, chosen: bool, name: str
) -> dict[str, Layer]:
    """The layers that a forward pass reaches before it comes to a module that lacks weights.

    Parameters
    ----------
    fitting : with the parameters that have no weights.
    chosen : whether the user named the layers; then none may be left out.

    Raises
    ------
    UserError
        If a layer that the user named depends on them, or all do.
    """
    missing = fitting.missing
    order = {label: place for place, label in enumerate(trace(model, example).responses)}
    modules = dict(model.named_modules())
    places = [_place(parameter.rpartition(".")[0], modules, order) for parameter in missing]
    first = min(places, default=len(order))
    never = len(order)
    kept = {n: layer for n, layer in layers.items() if first == never or order.get(n, never) < first}
    lost = [label for label in layers if label not in kept]
    if not kept or (chosen and lost):
        shown = f"{', '.join(missing[:3])}{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}"
        if fitting.renamed:
            raise UserError(fitting.renamed)
        raise UserError(
            f"the checkpoint of {name} lacks {shown}, and {lost[0]} depends on that: choose layers before it "
            "(model.layers), or weights that have it."
        )
    return kept


def _place(owner: str, modules: Mapping[str, nn.Module], order: Mapping[str, int]) -> int:
    """When a module has been called: 0 where that can't be told, the end if it never is."""
    if not owner or any(True for _ in modules[owner].children()):
        return 0  # its parameters are used by what it calls, at any time
    if owner in order:
        return order[owner]
    parents = [owner[:i] for i, sign in enumerate(owner) if sign == "."]
    return 0 if any(parent in order for parent in parents) else len(order)
