"""A small network with an in-place activation, and a module that is called twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from convergence.models.network import Network, describe
from convergence.models.options import Units
from convergence.models.preprocess import PixelPreprocess
from convergence.system.hashing import hash_tensors


class Net(nn.Module):
    """An in-place activation after the convolution, and a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(6, 6, 3, 1, 1)
        self.fc = nn.Linear(6, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        x = self.twice(self.twice(x))
        return self.fc(x.mean(dim=(2, 3)))


def network(
    change: Callable[[nn.Module], None] = lambda m: None,
    units: Units | None = None,
    make: Callable[[], nn.Module] = Net,
) -> Network:
    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = make()
        change(model)
        return model

    layers, rule = describe(build(), torch.zeros(1, 3, 16, 16), None, units, "net")
    state = hash_tensors(build().state_dict())
    return Network("net", "seed0", 0, 1, 1.0, state, layers, rule, PixelPreprocess(None), None, build)
