"""Which layers and which sizes a network takes: refused in one sentence before any work, with the way out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from convergence.alignment.units import reduce, size
from convergence.commands.main import main
from convergence.experiment.compose import compose
from convergence.models import library
from convergence.models.layers import Layer
from convergence.models.network import describe
from convergence.models.options import SeedsConfig
from convergence.system import torchvision_ops
from convergence.system.errors import UserError
from tests.support import weights

torchvision_ops.ensure()


class Net(nn.Module):
    """Windows are moved into the batch, and the auxiliary head is for training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.windows = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5)
        self.auxiliary = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(2).transpose(1, 2)
        n, _, width = x.shape
        return self.head(self.windows(x.reshape(-1, 4, width)).reshape(n, -1, width).mean(1))


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("auxiliary", "'auxiliary' is a module of net, but its forward pass never calls it.*the nearest that it calls"),
        ("windows", "'windows' of net has no row for each image.*the nearest that can are"),
        ("haed", "'haed' matches no layer of net: the nearest are head"),
    ],
)
def test_a_layer_that_cannot_be_tapped_says_why(pattern: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        describe(Net(), torch.zeros(1, 3, 8, 8), [pattern], None, "net")


def test_by_default_what_has_no_row_for_each_image_is_left_out() -> None:
    layers, _ = describe(Net(), torch.zeros(1, 3, 8, 8), None, None, "net")
    assert list(layers) == ["conv", "head"]
    with pytest.raises(UserError, match="net calls no convolution, linear layer or residual block"):
        describe(nn.Sequential(nn.Flatten()), torch.zeros(1, 3, 8, 8), None, None, "net")


def _torchvision(name: str) -> nn.Module:
    from torchvision import models

    more = {"init_weights": False} if name == "inception_v3" else {}
    return models.get_model(name, weights=None, **more)


def _timm(name: str) -> nn.Module:
    import timm

    return timm.create_model(name, depth=1)


@pytest.mark.parametrize(
    ("build", "given", "works"),
    [
        (lambda: _torchvision("alexnet"), 32, 64),
        (lambda: _timm("deit_tiny_patch16_224"), 64, 224),
        (lambda: _torchvision("vit_b_32"), 64, 224),
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 9), nn.Flatten(), nn.Linear(2 * 56**2, 3)), 32, 64),
    ],
    ids=["too small", "another position embedding", "torchvision's", "a linear layer on maps"],
)
def test_a_size_that_a_network_does_not_take_is_refused_with_one_that_works(
    build: Callable[[], nn.Module], given: int, works: int
) -> None:
    model = build()
    sentence = f"net does not take images of {given} × {given} pixels, but does of {works} × {works}: use model.image"
    with pytest.raises(UserError, match=sentence):
        describe(model, torch.zeros(1, 3, given, given), None, None, "net")
    assert describe(model, torch.zeros(1, 3, works, works), None, None, "net")


def test_a_network_that_takes_no_size_says_what_it_raised() -> None:
    class Grey(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("expected one channel")

    with pytest.raises(UserError, match=r"fails on images of 3 × 32 × 32, and on other sizes as well: .*one channel"):
        describe(Grey(), torch.zeros(1, 3, 32, 32), None, None, "net")


def test_a_network_that_needs_more_than_images_says_what_to_do_about_it() -> None:
    class Masked(nn.Conv2d):
        def forward(self, x: Tensor, mask: Tensor, *, bias: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x * mask) + bias

    with pytest.raises(UserError, match="net needs x and mask and bias, and is given the images alone: give mask and"):
        describe(Masked(3, 4, 3), torch.zeros(1, 3, 8, 8), None, None, "net")


def test_units_of_maps_with_more_axes_of_space() -> None:
    maps = torch.arange(2 * 3 * 4 * 5 * 6.0).reshape(2, 3, 4, 5, 6)
    expected = {"center": maps[..., 2, 2, 3], "mean": maps.mean((2, 3, 4)), "samples": maps.flatten(2).mT}
    for rule, values in expected.items():
        assert torch.equal(reduce(maps, rule), values) or torch.allclose(reduce(maps, rule), values)
        assert size((3, 4, 5, 6), rule) == (120 if rule == "samples" else 1, 3)


def test_one_dimensional_convolutions_are_tokens_of_their_channels() -> None:
    model = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 7, 1))
    assert describe(model, torch.zeros(1, 3, 4, 4), None, None, "net")[0] == {"1": Layer("Conv1d", (16, 7), "mean")}


def test_the_list_of_layers_is_that_of_the_preset_of_that_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.cheap(monkeypatch)
    assert main(["list", "layers", "vgg16_bn"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    config = compose(["model=vgg16_bn"]).model
    config.weights, config.seeds = None, SeedsConfig([0])
    config.image_size = 64
    known = list(library.untrained(config)[0].layers)
    assert [name for name in listed if name in known] == known
    config.layers = known
    assert list(library.untrained(config)[0].layers) == known
