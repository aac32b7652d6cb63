"""Names of networks as timm understands them: those of today, those of before, and places on the hub."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from torch import nn

from convergence.models import hub
from convergence.system import torchvision_ops
from convergence.system.errors import UserError

_HUB = ("hf-hub:", "hf_hub:", "local-dir:")
_log = logging.getLogger("convergence")


def is_on_hub(name: str) -> bool:
    """Whether the name is that of a repository (``hf-hub:timm/resnet18.a1_in1k``) or of a folder like one."""
    return name.startswith(_HUB)


@cache
def current(name: str) -> str:
    """The name that timm gives today to what had another one before (``tv_resnet50``); any other as it is."""
    torchvision_ops.ensure()
    from timm.models._registry import _deprecated_models

    found = _deprecated_models.get(name)
    if not found:
        return name
    _log.info("timm calls %s %s today.", name, found)
    return str(found)


def create_from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    """The architecture that a repository describes, initialised.

    Raises
    ------
    UserError
        If the repository can't be read.
    """
    import timm

    with hub.offline_if_unreachable() as offline, hub.timed():
        try:
            return timm.create_model(name, pretrained=False, **options)
        except Exception as error:
            reason = "the hub cannot be reached" if offline else (str(error).splitlines() or [""])[0][:120].strip()
            raise UserError(
                f"model.name={name} could not be read ({reason}): check the name, or fetch it once on a machine with "
                "a network and copy the hub's cache here."
            ) from None
