"""Raw pixels as a network of one layer: what any alignment is to be compared with."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from convergence.models.layers import Layer
from convergence.models.network import Network
from convergence.models.options import Units

SIDE = 16  # 3 × 16 × 16 units: as wide as a network's widest layers, and fewer than the stimuli of most runs
_LAYER = "pixels"


class _Pixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        return self.pixels(adaptive_avg_pool2d(x, SIDE))


def pixels(network: Network) -> Network:
    """The images as they enter ``network``, averaged to 16 × 16 colours: 768 units."""
    return replace(
        network,
        model="pixels",
        weights=f"{SIDE}x{SIDE}",
        seed=None,
        step=None,
        epoch=None,
        weights_hash="",
        layers={_LAYER: Layer("Pixels", (3 * SIDE**2,))},
        units=Units.center,
        classes=(),
        builder=_Pixels,
    )
