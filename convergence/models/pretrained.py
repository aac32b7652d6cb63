"""Weights that torchvision and timm offer: found by name, fetched from their hubs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convergence.models import hub, timm_names
from convergence.models.options import Library, LibraryConfig
from convergence.system.errors import UserError


def builder(config: LibraryConfig, weights: str, options: dict[str, Any]) -> Callable[[], nn.Module]:
    """Makes the network with the library's weights, which are fetched where they are not here.

    Parameters
    ----------
    options : of the architecture, beside its name.

    Raises
    ------
    UserError
        If there are no such weights; the builder's, if they can't be fetched.
    """
    if config.library is Library.torchvision:
        from torchvision import models

        try:
            entry = models.get_model_weights(config.name)[weights]
        except KeyError:
            known = ", ".join(models.get_model_weights(config.name).__members__)
            raise UserError(f"model.weights={weights} is not known for {config.name}: choose from {known}.") from None
        if options and config.image_size != entry.meta["min_size"][0]:
            raise UserError(
                f"model.image_size={config.image_size}: torchvision's trained {config.name} takes images of "
                f"{entry.meta['min_size'][0]} pixels alone; leave image_size out, or use timm's (model=timm)."
            )
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        how = f"import torchvision; torchvision.models.get_model('{config.name}', weights='{weights}')"
        return partial(
            _fetched, lambda: models.get_model(config.name, weights=entry), config.name, weights, folder, how
        )
    import timm

    if timm_names.is_on_hub(config.name) and weights != "DEFAULT":
        raise UserError(f"model.weights={weights}: {config.name} has weights of one kind; take them by [DEFAULT].")
    name = config.name if weights == "DEFAULT" else f"{config.name.split('.')[0]}.{weights}"
    if not timm_names.is_on_hub(name) and not timm.is_model_pretrained(name):
        tags = [n.split(".", 1)[1] for n in timm.list_pretrained(f"{config.name.split('.')[0]}.*")]
        raise UserError(f"model.weights={weights} is not known for {config.name}: choose from {', '.join(tags)}.")
    from huggingface_hub import constants

    how = f"import timm; timm.create_model('{name}', pretrained=True)"
    fetch = partial(_from_hub, name, options)
    return partial(_fetched, fetch, config.name, weights, Path(constants.HF_HUB_CACHE), how)


def _from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    import timm
    from huggingface_hub import constants

    with hub.offline_if_unreachable() as offline:
        try:
            return timm.create_model(name, pretrained=True, **options)
        except Exception:
            if offline:
                raise OSError(f"{constants.ENDPOINT} cannot be reached") from None
            raise


def _fetched(fetch: Callable[[], nn.Module], name: str, weights: str, folder: Path, how: str) -> nn.Module:
    try:
        with hub.timed():
            return fetch()
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:120].strip()
        raise UserError(
            f"the weights {weights} of {name} are not in {folder} and could not be fetched ({reason}): on a machine "
            f'with a network run `python -c "{how}"` and copy that folder here.'
        ) from None
