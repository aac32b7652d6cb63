"""Transformers whose tokens come before the batch, (T, n, N), give what the same weights give the other way round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convergence import extract
from convergence.activations import extract as cached
from convergence.activations.loading import Loader
from convergence.models.options import Units
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from tests.support.networks import network

WIDTH = 8


class Encoder(nn.Module):
    """A small vision transformer of torch's own parts; with a patch of 8 pixels, images of 16 have four tokens."""

    def __init__(self, batch_first: bool, patch: tuple[int, int] = (8, 8)) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, WIDTH, patch, patch)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 5)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2)
        tokens = tokens.permute(0, 2, 1) if self.batch_first else tokens.permute(2, 0, 1)
        return self.head(self.encoder(tokens).mean(1 if self.batch_first else 0))


def pair(**options: Any) -> list[nn.Module]:
    first, last = Encoder(True, **options), Encoder(False, **options)
    last.load_state_dict(first.state_dict())
    return [first.eval(), last.eval()]


@pytest.mark.parametrize("patch", [(8, 8), (8, 16), (16, 16)], ids=["4 tokens", "2 tokens", "1 token"])
@pytest.mark.parametrize("units", ["center", "mean", "samples", "flatten"])
@pytest.mark.parametrize("layers", [None, "encoder.layers.?.linear1", "encoder.layers.?.self_attn"])
def test_both_ways_round_have_the_same_layers_and_responses(
    patch: tuple[int, int], units: str, layers: str | None
) -> None:
    images = torch.rand(7, 3, 16, 16)
    expected, found = (
        extract(net, images, layers=layers, units=units, batch_size=3, device="cpu") for net in pair(patch=patch)
    )
    assert list(found) == list(expected)
    if layers is None:
        assert list(found) == ["embed", "encoder.layers.0", "encoder.layers.1", "head"]
    for name, values in expected.items():
        assert np.allclose(found[name], values, atol=1e-5), name


def test_they_are_extracted_to_the_cache_image_by_image(tmp_path: Path) -> None:
    stimuli = load(ShapesConfig(size=16, stimuli=20), "test")
    nets = [network(units=Units.mean, make=lambda which=which: Encoder(which)) for which in (True, False)]  # type: ignore[misc]
    found = []
    for i, net in enumerate(nets):
        loader = Loader(net.preprocess, stimuli, tmp_path / str(i), 8, 0, torch.device("cpu"))
        found.append(cached.extract(net, loader).read(list(net.layers), 0, 20))
    assert list(found[0]) == list(found[1])
    assert all(torch.allclose(found[0][name], values, atol=1e-5) for name, values in found[1].items())
