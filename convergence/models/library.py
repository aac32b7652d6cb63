"""Architectures of torchvision and timm, with the library's weights and preprocessing, or with the user's weights."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convergence.models import own, pretrained, timm_names
from convergence.models.architecture import Architecture, normalisation
from convergence.models.images import common_size
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig
from convergence.models.preprocess import PixelPreprocess, Preprocess, for_images, of_timm, of_torchvision
from convergence.stimuli.base import Stimuli
from convergence.stimuli.options import Transform
from convergence.system import torchvision_ops
from convergence.system.errors import UserError


def names(library: Library) -> list[str]:
    """All classification architectures that the installed library has."""
    torchvision_ops.ensure()
    if library is Library.torchvision:
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    return sorted(timm.list_models())


def architecture(config: LibraryConfig, transform: Transform | None = None) -> Architecture:
    """The library's architecture.

    Parameters
    ----------
    transform : how images become input, if not the model's own way.
    """
    if config.library is Library.timm:
        config = replace(config, name=timm_names.current(config.name))

    def enter(model: nn.Module, weights: str) -> tuple[Preprocess, Tensor]:
        preprocess, size = _preprocess(config, model, weights, transform)
        return preprocess, torch.zeros(1, 3, size, size)

    def enter_trained(stimuli: Stimuli) -> tuple[Preprocess, Tensor]:
        """At the images' own size; of those that take one size alone, at that."""
        _, example = enter(created(config), "")
        size = config.image_size or (None if _takes_any_size(config) else example.shape[-1])
        if size is None and stimuli.pixels([0]) is None:
            size = common_size(stimuli) or example.shape[-1]
        mean, std = normalisation(config, PixelPreprocess.mean, PixelPreprocess.std)
        preprocess = replace(for_images(stimuli, size, transform), mean=mean, std=std)
        side = preprocess.size or preprocess.pixels(stimuli, [0]).shape[-1]
        return preprocess, torch.zeros(1, 3, side, side)

    return Architecture(
        config=config,
        create=partial(created, config),
        enter=enter,
        enter_trained=enter_trained,
        source=f"{config.library.value} {_sized(config)}",
    )


def trajectories(
    config: LibraryConfig, transform: Transform | None = None, *, from_start: bool = False
) -> list[list[Network]]:
    """For each of ``weights`` and each training run among ``checkpoints``, its networks in order of training.

    Without weights and checkpoints, untrained ones.

    Parameters
    ----------
    transform : how images become input, if not the model's own way.
    from_start : let runs that have no checkpoint before training begin with a network initialised at random.

    Raises
    ------
    UserError
        If there is no such architecture or weights, a download fails, or a checkpoint is of another architecture.
    """
    made = architecture(config, transform)
    config = made.config  # type: ignore[assignment]
    if config.weights:
        made.skeleton  # noqa: B018  the name is checked before anything is fetched
    fetched = [(weights, pretrained.builder(config, weights, _sized(config))) for weights in config.weights or []]
    found = [[made.network(weights, builder)] for weights, builder in fetched]
    found += own.trajectories(made, from_start=from_start)
    return found or [[network] for network in made.untrained()]


def untrained(config: LibraryConfig, transform: Transform | None = None) -> list[Network]:
    """Networks initialised from ``seeds.init``."""
    return architecture(config, transform).untrained()


def created(config: LibraryConfig, classes: int | None = None) -> nn.Module:
    """The architecture, initialised."""
    torchvision_ops.ensure()
    more: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if timm_names.is_on_hub(config.name) and config.library is Library.timm:
        return timm_names.create_from_hub(config.name, more | _sized(config))
    known = names(config.library)
    if config.name.split(".")[0] not in known:
        near = difflib.get_close_matches(config.name, known, n=3, cutoff=0.0)
        raise UserError(
            f"model.name={config.name} is not in {config.library.value}: the nearest are {', '.join(near)}."
        )
    more |= _sized(config)
    if config.library is Library.torchvision:
        from torchvision import models

        if config.name in ("googlenet", "inception_v3"):
            more["init_weights"] = True
        return models.get_model(config.name, weights=None, **more)
    import timm

    return timm.create_model(config.name, pretrained=False, **more)


def _sized(config: LibraryConfig) -> dict[str, Any]:
    """The argument by which architectures that take images of one size alone are made for another."""
    if config.image_size is None:
        return {}
    if config.library is Library.torchvision:
        return {"image_size": config.image_size} if config.name.startswith("vit_") else {}
    import timm

    known = None if timm_names.is_on_hub(config.name) else timm.get_pretrained_cfg(config.name)
    return {"img_size": config.image_size} if known is not None and known.fixed_input_size else {}


def _takes_any_size(config: LibraryConfig) -> bool:
    """Whether the architecture takes images of any size; those that don't are made for the one asked for."""
    return not _sized(replace(config, image_size=config.image_size or 1))


def _preprocess(
    config: LibraryConfig, model: nn.Module, weights: str, transform: Transform | None
) -> tuple[Preprocess, int]:
    """The library's own transform for these weights, or its default ones', and the size of the network's input."""
    if config.library is Library.torchvision:
        from torchvision import models

        entries = models.get_model_weights(config.name)
        entry = entries[weights] if weights in entries.__members__ else entries["DEFAULT"]  # type: ignore[misc]
        theirs = of_torchvision(entry.transforms())
        size = entry.transforms().crop_size[0]
    else:
        from timm.data import resolve_data_config

        data = resolve_data_config({}, model=model)
        theirs, size = of_timm(data), data["input_size"][-1]
    mean, std = normalisation(config, tuple(theirs.mean), tuple(theirs.std))
    if config.image_size is None and transform is None:
        return replace(theirs, mean=mean, std=std), size
    size = config.image_size or size
    return PixelPreprocess(size, mean, std, stretch=transform is Transform.stretch), size
