"""Sizes of images that a network takes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from convergence.models.trace import Trace, trace
from convergence.system import user_code
from convergence.system.errors import UserError

_SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 384, 448, 512)


def traced(model: nn.Module, images: Tensor, name: str) -> Trace:
    """The forward pass on these images.

    Raises
    ------
    UserError
        If it fails on them; with a size that works, where one does.
    """
    try:
        return _whole(model, images)
    except UserError:
        raise
    except user_code.FAILURES as error:
        user_code.heed_signals(error)
        if images.ndim != 4:
            raise UserError(f"the forward pass of {name} fails: {user_code.reason(error)}.") from error
        reason, cause = user_code.reason(error).rstrip("."), error
    channels, height, width = images.shape[1:]
    size = _that_works(model, images)
    if size is None:
        raise UserError(
            f"the forward pass of {name} fails on images of {channels} × {height} × {width}, and on other sizes as "
            f"well: {reason}; model=module takes inputs of another kind by model.preprocess=FILE.py:NAME."
        ) from cause
    raise UserError(
        f"{name} does not take images of {height} × {width} pixels, but does of {size} × {size}: use "
        f"model.image_size={size}, or let model.preprocess make that ({reason})."
    ) from cause


def _whole(model: nn.Module, images: Tensor) -> Trace:
    found = trace(model, images)
    for label, response in found.responses.items():
        if 0 in response.shape:
            raise ValueError(f"nothing is left of the image at layer '{label}'")
    return found


def _that_works(model: nn.Module, images: Tensor) -> int | None:
    """The smallest that the network takes of its own size and the usual ones: larger ones first."""
    now = images.shape[-1]
    larger, smaller = [s for s in _SIZES if s > now], [s for s in _SIZES[::-1] if s < now]
    for size in (*_own(model), *larger, *smaller):
        try:
            _whole(model, images.new_zeros(1, images.shape[1], size, size))
        except user_code.FAILURES as error:  # whatever it says: the next may work
            user_code.heed_signals(error)
            continue
        return size
    return None


def _own(model: nn.Module) -> list[int]:
    """The size that the network was made for, where it says so, as timm's networks and vision transformers do."""
    config: Any = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    sizes = [getattr(getattr(model, "patch_embed", None), "img_size", None), getattr(model, "image_size", None)]
    sizes.append(config.get("input_size") if isinstance(config, dict) else None)
    numbers = [size[-1] if isinstance(size, tuple | list) and size else size for size in sizes]
    return list(dict.fromkeys(n for n in numbers if isinstance(n, int)))
