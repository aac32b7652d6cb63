"""One network: its weights, its layers, and the way images enter it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor, nn

from convergence.models.epochs import is_untrained
from convergence.models.layers import Layer, choose
from convergence.models.options import Precision, Units
from convergence.models.preprocess import Preprocess
from convergence.system.errors import UserError
from convergence.system.hashing import digest
from convergence.system.notes import say_once


@dataclass(frozen=True)
class Network:
    """A network that can be built whenever it is needed.

    Attributes
    ----------
    model, weights : the architecture's name, and a label of the weights ("seed0", "IMAGENET1K_V1", a file's name).
        Networks of one training run share it.
    seed, step, epoch : of the training, where known; step and epoch are 0 for an untrained network.
    weights_hash : SHA-256 of all tensors, with their names, shapes and types.
    layers : what is tapped, in forward order.
    units : how maps, or tokens, become units; each layer has the rule that holds for it.
    classes : names of the outputs, where known; None: unknown, as many outputs as classes are taken to be in their
        order; empty: the outputs are no answers (raw pixels, a network without a head).
    precision : of the forward pass.
    size : bytes of its weights.
    own_code : whether it runs code of the user's, of which nobody knows whether two threads may be in it at once.
    """

    model: str
    weights: str
    seed: int | None
    step: int | None
    epoch: float | None
    weights_hash: str
    layers: Mapping[str, Layer]
    units: Units
    preprocess: Preprocess
    classes: tuple[str, ...] | None
    builder: Callable[[], nn.Module]
    precision: Precision = Precision.float32
    size: int = 0
    own_code: bool = False

    def build(self) -> nn.Module:
        """The network with its weights, in eval mode."""
        return self.builder().eval()

    @cached_property
    def key(self) -> str:
        """A hash of everything that its responses to an image, and its answer, depend on."""
        taps = {name: layer.units for name, layer in self.layers.items()}
        read_off = (taps, self.units.value, self.precision.value, self.classes)
        return digest(self.model, self.weights_hash, self.preprocess.describe(), *read_off)

    @property
    def is_untrained(self) -> bool:
        return is_untrained(self.step, self.epoch)

    def __str__(self) -> str:
        """For people: which network, and how far it is trained where that tells something."""
        if self.is_untrained and "untrained" not in self.weights:
            return f"{self.model} {self.weights} untrained"
        return f"{self.model} {self.weights}"

    @property
    def depths(self) -> dict[str, float]:
        """Depth of each layer, from 0 (the first) to 1 (the last)."""
        last = max(1, len(self.layers) - 1)
        return {name: i / last for i, name in enumerate(self.layers)}


def describe(
    model: nn.Module, example: Tensor, patterns: Sequence[str] | None, units: Units | None, name: str
) -> tuple[dict[str, Layer], Units]:
    """The layers to tap, each with its rule for units, and the rule that stands for the network.

    The user's rule, else the centre of maps, and of tokens the class token or, where they hold none, the mean. The
    user's ``cls`` holds for layers that have a class token; the others keep their default, and it is said which.

    Raises
    ------
    UserError
        If the rule does not apply to the layers, and as :func:`convergence.models.layers.choose`.
    """
    layers = choose(model.eval(), example, patterns, name)
    rules = {layer.units for layer in layers.values()}
    if units is None:
        return layers, next(rule for rule in (Units.cls, Units.mean, Units.center) if rule.value in rules)
    if units is Units.center and any(len(layer.shape) == 2 for layer in layers.values()):
        raise UserError(f"model.units=center needs maps, and {name}'s layers give tokens: use cls, mean or samples.")
    if units is not Units.cls:
        return {n: replace(layer, units=units.value) for n, layer in layers.items()}, units
    if Units.cls.value not in rules:
        others = "mean or samples" if any(len(layer.shape) == 2 for layer in layers.values()) else "center or mean"
        raise UserError(f"model.units=cls needs a class token, and {name} has none in these layers: use {others}.")
    for label, layer in layers.items():
        if len(layer.shape) > 1 and layer.units != Units.cls.value:
            say_once(f"model.units=cls: {label} of {name} has no class token; its units are its {layer.units}.")
    return layers, units
