"""The user's own network: a callable that returns an ``nn.Module``, named in the config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from convergence.models.architecture import Architecture, normalisation
from convergence.models.images import common_size, sample
from convergence.models.options import ModuleConfig
from convergence.models.preprocess import PixelPreprocess, Preprocess
from convergence.stimuli.base import Stimuli
from convergence.stimuli.options import DatasetConfig, Transform
from convergence.system import twice, user_code
from convergence.system.errors import UserError
from convergence.system.hashing import digest

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of its images
_MIXED = 224  # pixels that images of different sizes are brought to
_steady: set[OwnPreprocess] = set()  # that were asked, in this process
_CLASSES = "num_classes"  # what most factories call the number of outputs


def architecture(config: ModuleConfig, dataset: DatasetConfig) -> Architecture:
    """The architecture that ``model.factory`` makes.

    Raises
    ------
    UserError
        If the factory is missing, needs other arguments, raises, or returns no network; with the user's line.
    """
    if not config.factory:
        raise UserError(
            "model=module needs model.factory=FILE.py:NAME, a function (or class) of yours that returns an nn.Module."
        )
    factory = user_code.load(config.factory, "model.factory")
    _check_callable(config, factory)
    code = digest(user_code.fingerprint(config.factory), user_code.identified(config.arguments))

    def enter(stimuli: Stimuli) -> tuple[Preprocess, Tensor]:
        preprocess = _preprocess(config, stimuli, dataset.transform)
        return preprocess, torch.zeros_like(preprocess(stimuli, [0]))

    return Architecture(
        config=config,
        create=partial(_create, config, factory),
        enter=lambda model, weights: enter(sample(dataset)),
        enter_trained=enter,
        source="module",
        code=code,
        resizable=_CLASSES not in config.arguments and _takes_classes(factory),
    )


def _check_callable(config: ModuleConfig, factory: Any) -> None:
    if isinstance(factory, nn.Module):
        raise UserError(
            f"model.factory={config.factory} is a network that is made already: give a function that returns a new one."
        )
    if not callable(factory):
        raise UserError(
            f"model.factory={config.factory} is of type {type(factory).__name__}: give a function (or a class) that "
            "returns an nn.Module."
        )
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # not to be told for some built in C
        return
    try:
        signature.bind(**config.arguments)
    except TypeError as error:
        known = {n: p for n, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        needed = [n for n, p in known.items() if p.default is p.empty and n not in config.arguments]
        has = f"it takes {', '.join(known)}" if known else "it takes none"
        ask = f"; give model.arguments={{{', '.join(f'{n}: …' for n in needed)}}}" if needed else ""
        raise UserError(f"model.factory={config.factory}: {error}; {has}{ask}.") from None


def _create(config: ModuleConfig, factory: Callable[..., Any], classes: int | None) -> nn.Module:
    more: dict[str, Any] = {}
    if classes is not None and _CLASSES not in config.arguments and _takes_classes(factory):
        more[_CLASSES] = classes
    where, given = f"model.factory={config.factory}", config.arguments or "none"
    with user_code.telling(lambda why: f"{where} raised an error ({why}); model.arguments are {given}."):
        made = factory(**config.arguments, **more)
    if not isinstance(made, nn.Module):
        raise UserError(
            f"model.factory={config.factory} returned an object of type {type(made).__name__}, not an nn.Module."
        )
    lazy = next((n for n, m in made.named_modules() if isinstance(m, LazyModuleMixin)), None)
    if lazy is not None:
        raise UserError(
            f"model.factory={config.factory} returned a network whose {lazy} gets its weights at the first forward "
            "pass: send an input through the network in the factory."
        )
    return made.float()


def _takes_classes(factory: Callable[..., Any]) -> bool:
    try:
        return _CLASSES in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def _preprocess(config: ModuleConfig, stimuli: Stimuli, transform: Transform | None) -> Preprocess:
    if config.preprocess is None:
        mean, std = normalisation(config, *IMAGENET)
        size = config.image_size or common_size(stimuli) or _MIXED
        return PixelPreprocess(size, mean, std, stretch=transform is Transform.stretch)
    given = {"image_size": config.image_size, "mean": config.mean, "std": config.std}
    unused = [f"model.{name}" for name, value in given.items() if value is not None]
    if unused:
        raise UserError(f"model.preprocess takes the place of {' and '.join(unused)}: leave one or the other out.")
    if not callable(user_code.load(config.preprocess, "model.preprocess")):
        raise UserError(f"model.preprocess={config.preprocess} can't be called: give a function of a PIL image.")
    own = OwnPreprocess(config.preprocess, user_code.fingerprint(config.preprocess))
    if own not in _steady:
        own.refuse_random(stimuli)
        _steady.add(own)
    return own


@dataclass(frozen=True)
class OwnPreprocess(Preprocess):
    """The user's own function, from a PIL image to an input tensor, normalised and all."""

    spec: str
    fingerprint: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def pixels(self, stimuli: Stimuli, indices: Sequence[int]) -> Tensor:
        """float32 (n, C, H, W), as the function gives them."""
        function = user_code.load(self.spec, "model.preprocess")
        made = [self._one(function, stimuli, int(i)) for i in indices]
        odd = next((i for i, one in zip(indices, made, strict=True) if one.shape != made[0].shape), None)
        if odd is not None:
            raise UserError(
                f"model.preprocess={self.spec} gives inputs of different shapes ({tuple(made[0].shape)}, and another "
                f"for {stimuli.ids[int(odd)]}): let it resize and crop to one size."
            )
        return torch.stack(made)

    def _one(self, function: Callable[..., Any], stimuli: Stimuli, i: int) -> Tensor:
        with user_code.telling(lambda why: f"model.preprocess={self.spec} failed at {stimuli.ids[i]} ({why})."):
            made = function(stimuli.image(i))
        if not isinstance(made, Tensor) or made.ndim != 3:
            what = f"a tensor of shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
            raise UserError(f"model.preprocess={self.spec} gives {what}: it has to give one (C, H, W).")
        return made.detach().float()

    def refuse_random(self, stimuli: Stimuli) -> None:
        """Raise UserError if the first images give other inputs when they are asked for again."""
        few = range(min(twice.TIMES, len(stimuli)))
        for i, one, other in zip(few, self.pixels(stimuli, few), self.pixels(stimuli, few), strict=True):
            sentence = (
                f"model.preprocess={self.spec} makes another input of the same image each time "
                f"({stimuli.ids[i]}): give the transform of evaluation, without random crops, flips or colours."
            )
            twice.refuse_another(one, other, sentence)

    def geometry(self) -> str:
        return f"code {self.fingerprint[:16]}"

    def normalise(self, pixels: Tensor) -> Tensor:
        return pixels

    def describe(self) -> str:
        return f"{self.spec.rpartition('/')[2]}, {self.geometry()}"
