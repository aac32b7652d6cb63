"""Which axis of a response is that of the images, and whether an image is answered in the same way each time.

Both are seen in two forward passes, of two images and of three, with one image that is in both among others.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from convergence.models.trace import Trace
from convergence.system.errors import UserError

_TOLERANCE = 1e-3  # of a response's norm: float32 rounds otherwise in another batch, and many layers add to it
_ROUNDINGS = 16  # that a narrow type may be off by


def pilots(example: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches, (2, …) and (3, …): the last image of the first is the first of the second.

    The others are darker and brighter, so that it shows where a network looks at the batch as a whole.

    Parameters
    ----------
    example : an input (1, …), for its shape, type and device.
    """
    random = torch.Generator().manual_seed(0)
    dark, same, bright = torch.rand(3, *example.shape[1:], generator=random).to(example)
    dark, bright = dark / 8, 1 - bright / 8
    return torch.stack([dark, same]), torch.stack([same, bright, dark])


def image_axis(label: str, first: Trace, second: Trace) -> int | None:
    """0, or 1 where a sequence comes before the images, (T, n, N); None: the response has no row for each image."""
    if label not in second.responses:
        return None
    two, three = first.responses[label].rows, second.responses[label].rows
    return next((axis for axis in (0, 1) if axis in two and axis in three), None)


def refuse_unsteady(labels: Iterable[str], first: Trace, second: Trace, dtype: torch.dtype, name: str) -> None:
    """Raise UserError if one of the layers answered the image that is in both batches in two ways."""
    tolerance = max(_TOLERANCE, _ROUNDINGS * torch.finfo(dtype).eps)
    for label in labels:
        axis = image_axis(label, first, second)
        assert axis is not None
        one, other = first.responses[label].rows[axis][-1], second.responses[label].rows[axis][0]
        if one.shape != other.shape or one.is_meta:
            continue
        apart, norm = float((one - other).norm()), float(one.norm())
        if apart > tolerance * norm:
            raise UserError(
                f"layer '{label}' of {name} gives another response to the same image when it is asked again, among "
                f"other images (off by {apart / norm if norm else 1:.0%} of its norm): its forward pass is random or "
                "looks at the whole batch, as dropout and batch norm do in training; call no train() in forward, give "
                "F.dropout training=self.training, or name the layers before it by model.layers."
            )
