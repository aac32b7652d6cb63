"""An architecture, wherever its code comes from: how it is made, how images enter it, and networks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from torch import Tensor, nn

from convergence.models.checkpoints.load import Fit
from convergence.models.missing import independent
from convergence.models.network import Network, describe
from convergence.models.options import ArchitectureConfig
from convergence.models.preprocess import Preprocess
from convergence.models.seeded import seeded
from convergence.models.skeleton import without_memory
from convergence.stimuli.base import Stimuli
from convergence.system.errors import UserError
from convergence.system.hashing import digest, hash_tensors

# Of a network and a label of its weights ("" for none in particular): how images enter it, and an example of its input.
Entrance = Callable[[nn.Module, str], tuple[Preprocess, Tensor]]


@dataclass(frozen=True)
class Architecture:
    """What networks of one architecture have in common.

    Attributes
    ----------
    config : its options.
    create : makes the network with torch's random numbers, for a number of classes; None: as many as it has by itself.
    enter : how images enter it, evaluated as its authors do.
    enter_trained : the same for networks that are trained here on such images.
    source : where its code comes from, and options that shape it; "" for the recipes.
    code : fingerprint of code that the name doesn't tell.
    resizable : whether ``create`` heeds the number of classes.
    """

    config: ArchitectureConfig
    create: Callable[[int | None], nn.Module]
    enter: Entrance
    enter_trained: Callable[[Stimuli], tuple[Preprocess, Tensor]]
    source: str = ""
    code: str = ""
    resizable: bool = True

    @property
    def name(self) -> str:
        return self.config.name

    @cached_property
    def skeleton(self) -> nn.Module:
        """Names and shapes of the parameters, without their memory where the code allows that."""
        try:
            with without_memory():
                return self.create(None)
        except Exception:  # code that looks at its numbers while it is made
            return self.create(None)

    def initialised(self, seed: int, classes: int | None = None) -> nn.Module:
        """An untrained network whose weights depend on the seed alone."""
        with seeded(seed):
            return self.create(classes)

    def hash(self, model: nn.Module) -> str:
        """Of the weights, and of the code where the name doesn't tell it."""
        weights = hash_tensors(model.state_dict())
        return digest(self.code, weights) if self.code else weights

    def network(
        self,
        weights: str,
        builder: Callable[[], nn.Module],
        seed: int | None = None,
        step: int | None = None,
        epoch: float | None = None,
        fitting: Fit | None = None,
    ) -> Network:
        """The network that ``builder`` makes, with its layers looked up by a forward pass.

        Parameters
        ----------
        fitting : what ``builder`` has put into it; layers that depend on weights which are not there are left out.

        Raises
        ------
        UserError
            If a layer that the user named depends on weights that are not there.
        """
        model = builder().eval()
        preprocess, example = self.enter(model, weights)
        layers, units = describe(model, example, self.config.layers, self.config.units, self.name)
        missing = fitting.missing if fitting else ()
        if fitting and missing:
            chosen = self.config.layers is not None or not fitting.headless
            layers = independent(model, example, layers, fitting, chosen, self.name)
        return Network(
            model=self.name,
            weights=weights,
            seed=seed,
            step=step,
            epoch=epoch,
            weights_hash=self.hash(model),
            layers=layers,
            units=units,
            preprocess=preprocess,
            classes=() if missing else None,
            builder=builder,
            precision=self.config.precision,
            size=bytes_of(model),
            own_code=bool(self.code),
        )

    def untrained(self) -> list[Network]:
        """Networks initialised from ``seeds.init``."""
        return [
            self.network(f"untrained{seed}", partial(self.initialised, seed), seed=seed, step=0, epoch=0.0)
            for seed in self.config.seeds.init
        ]


def bytes_of(model: nn.Module) -> int:
    """Of all its weights."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def normalisation(
    config: ArchitectureConfig, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the input: the user's, else these.

    Raises
    ------
    UserError
        If they are not three numbers each, or a standard deviation is not above 0.
    """
    given = {"mean": config.mean, "std": config.std}
    for name, values in given.items():
        if values is not None and len(values) != 3:
            raise UserError(f"model.{name}={values} has {len(values)} numbers: give three, for red, green and blue.")
    if config.std is not None and min(config.std) <= 0:
        raise UserError(f"model.std={config.std}: a standard deviation is above 0.")
    return tuple(config.mean or mean), tuple(config.std or std)
