"""Architectures of every kind: what a module returns, where its features lie, and what cannot be tapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from convergence.activations.cache import Cached
from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.activations.taps import taps
from convergence.models.network import Network, describe
from convergence.models.options import Precision, Units
from convergence.models.outputs import tensor_of
from convergence.models.preprocess import PixelPreprocess
from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system import torchvision_ops
from convergence.system.errors import UserError
from convergence.system.hashing import hash_tensors

torchvision_ops.ensure()


@pytest.fixture(scope="module")
def stimuli() -> Stimuli:
    return load(ShapesConfig(size=32, stimuli=20), "test")


def network(build: Callable[[], nn.Module], units: Units | None = None, layers: list[str] | None = None) -> Network:
    def seeded() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return build().eval()

    tapped, rule = describe(seeded(), torch.zeros(1, 3, 32, 32), layers, units, "net")
    state = hash_tensors(seeded().state_dict())
    return Network("net", "seed0", 0, 1, 1.0, state, tapped, rule, PixelPreprocess(None), None, seeded)


def responses(net: Network, stimuli: Stimuli, place: Path) -> Cached:
    device = torch.device("cpu")
    return extract(net, Loader(net.preprocess, stimuli, place, 8, 0, device))


class Wrapped(nn.Module):
    """A convolution whose output comes in a parcel."""

    def __init__(self, parcel: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.parcel = nn.Conv2d(3, 4, 3), parcel

    def forward(self, x: Tensor) -> Any:
        return self.parcel(self.conv(x))


@dataclass
class Parcel:
    loss: None
    hidden: Tensor


class Named(NamedTuple):
    hidden: Tensor
    other: int


PARCELS: Mapping[str, Callable[[Tensor], Any]] = {
    "tensor": lambda t: t,
    "tuple": lambda t: (t, 1),
    "named tuple": lambda t: Named(t, 2),
    "list of tuples": lambda t: [(None, t)],
    "dict": lambda t: {"loss": None, "hidden": t},
    "dataclass": lambda t: Parcel(None, t),
}


@pytest.mark.parametrize("kind", PARCELS)
def test_modules_may_return_tuples_mappings_and_dataclasses(kind: str, stimuli: Stimuli, tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Wrapped(PARCELS[kind])

        def forward(self, x: Tensor) -> Any:
            return PARCELS[kind](tensor_of(self.inner(x)).mean((2, 3)))  # type: ignore[union-attr]

    net = network(Net, layers=["inner"])
    found = responses(net, stimuli, tmp_path).read(["inner"], 0, 20)["inner"]
    with torch.inference_mode():
        maps = net.build().inner.conv(net.preprocess(stimuli, range(20)))  # type: ignore[union-attr, operator]
    assert torch.allclose(found, maps[..., 15, 15], atol=1e-5)


def test_a_module_that_returns_no_tensor_is_no_layer() -> None:
    class Counts(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"rows": len(x), "none": [None]}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count, self.conv = Counts(), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.count(x)
            return self.conv(x)

    assert list(network(Net, layers=["*"]).layers) == ["conv"]


def test_one_module_under_two_names_gives_a_layer_for_each_call(stimuli: Stimuli, tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 3, padding=1)
            self.second = self.first

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x)).mean((2, 3))

    net = network(Tied)
    assert list(net.layers) == ["first", "first:1"]
    found = responses(net, stimuli, tmp_path).read(["first", "first:1"], 0, 20)
    with torch.inference_mode():
        conv: Any = net.build().first
        once = conv(net.preprocess(stimuli, range(20)))
    for layer, maps in (("first", once), ("first:1", conv(once))):
        assert torch.allclose(found[layer], maps[..., 16, 16], atol=1e-5)


def test_grouped_and_depthwise_convolutions_are_layers_of_all_their_channels(stimuli: Stimuli, tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1, groups=4)
        )

    net = network(build)
    found = responses(net, stimuli, tmp_path)
    assert found.layers == {"0": 8, "1": 8, "2": 12}
    with torch.inference_mode():
        maps = net.build()(net.preprocess(stimuli, range(20)))
    assert torch.allclose(found.read(["2"], 0, 20)["2"], maps[..., 16, 16], atol=1e-5)


class NextBlock(nn.Module):
    """As ConvNeXt's: linear layers over maps whose features come last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (Units.center, lambda maps: maps[..., 16, 16]),
        (Units.mean, lambda maps: maps.mean((2, 3))),
        (Units.samples, lambda maps: maps.flatten(2).transpose(1, 2)),
        (Units.flatten, lambda maps: maps.flatten(1)),
    ],
)
def test_features_that_come_last_are_the_units(units: Units, expected: Any, stimuli: Stimuli, tmp_path: Path) -> None:
    net = network(NextBlock, units)
    assert {n: layer.shape for n, layer in net.layers.items()} == {"conv": (4, 32, 32), "fc": (6, 32, 32)}
    found = responses(net, stimuli, tmp_path).read(["fc"], 0, 20)["fc"]
    with torch.inference_mode():
        maps = net.build()(net.preprocess(stimuli, range(20)))
    assert torch.allclose(found, expected(maps), atol=1e-5)


def test_blocks_of_swin_are_maps_of_their_features() -> None:
    import timm

    model = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=4, depths=(1, 1, 1, 1))
    layers, units = describe(model, torch.zeros(1, 3, 64, 64), None, None, "swin")
    assert [layer.shape for layer in layers.values()] == [
        *((96, 16, 16), (96, 16, 16), (192, 8, 8), (384, 4, 4), (768, 2, 2)),
        (1000,),
    ]
    assert units is Units.center


class Tokens(nn.Module):
    """Four patches of width 5, with or without a class token before them."""

    def __init__(self, with_class: bool) -> None:
        super().__init__()
        if with_class:
            self.cls_token = nn.Parameter(torch.ones(1, 1, 5))
        self.embed = nn.Conv2d(3, 5, 16, 16)
        self.block = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        if hasattr(self, "cls_token"):
            tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        return self.block(tokens)


def test_tokens_are_units_by_class_token_mean_or_samples(stimuli: Stimuli, tmp_path: Path) -> None:
    def tokens() -> nn.Module:
        return Tokens(True)

    net = network(tokens, layers=["block"])
    assert net.units is Units.cls
    with torch.inference_mode():
        expected = net.build()(net.preprocess(stimuli, range(20)))
    rules = {Units.cls: expected[:, 0], Units.mean: expected.mean(1), Units.samples: expected}
    for units, value in (*rules.items(), (Units.flatten, expected.flatten(1))):
        found = responses(network(tokens, units, ["block"]), stimuli, tmp_path)
        assert torch.allclose(found.read(["block"], 0, 20)["block"], value, atol=1e-5)
        assert found.positions["block"] == (5 if units is Units.samples else 1)


NO_CLASS, NO_MAPS = "units=cls needs a class token, and net has none", "units=center needs maps"
KINDS: dict[str, tuple[Callable[[], nn.Module], list[str], dict[Units | None, list[str] | str]]] = {
    "maps": (lambda: Tokens(True), ["embed"], {None: ["center"], Units.center: ["center"], Units.cls: NO_CLASS}),
    "tokens": (lambda: Tokens(False), ["block"], {None: ["mean"], Units.center: NO_MAPS, Units.cls: NO_CLASS}),
    "class token": (lambda: Tokens(True), ["block"], {None: ["cls"], Units.center: NO_MAPS, Units.cls: ["cls"]}),
    "maps and class token": (
        lambda: Tokens(True),
        ["embed", "block"],
        {None: ["center", "cls"], Units.center: NO_MAPS, Units.cls: ["center", "cls"]},
    ),
    "maps and tokens": (
        lambda: Tokens(False),
        ["embed", "block"],
        {None: ["center", "mean"], Units.center: NO_MAPS, Units.cls: NO_CLASS},
    ),
    "vectors": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)),
        ["1"],
        {None: ["center"], Units.center: ["center"], Units.cls: NO_CLASS},
    ),
}


@pytest.mark.parametrize("rule", [None, *Units], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_holds_for_layers_that_it_makes_sense_for_and_is_refused_for_others(
    kind: str, rule: Units | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convergence.system.notes.said", set())
    caplog.set_level("INFO", "convergence")
    build, layers, expected = KINDS[kind]
    wanted = expected.get(rule, [str(getattr(rule, "value", None))] * len(layers))
    if isinstance(wanted, str):
        with pytest.raises(UserError, match=wanted):
            network(build, rule, layers)
        return
    assert [layer.units for layer in network(build, rule, layers).layers.values()] == wanted
    said = "model.units=cls: embed of net has no class token; its units are its center" in caplog.text
    assert said == (rule is Units.cls and "embed" in layers), "what does not follow the rule is named"


@pytest.mark.parametrize("precision", [Precision.bfloat16, Precision.float16])
def test_a_narrow_forward_pass_is_another_entry_of_float32_units(
    precision: Precision, stimuli: Stimuli, tmp_path: Path
) -> None:
    wide = network(NextBlock)
    narrow = replace(wide, precision=precision)
    exact, rounded = (responses(n, stimuli, tmp_path) for n in (wide, narrow))
    assert exact.fingerprint != rounded.fingerprint
    a, b = (r.read(["conv"], 0, 20)["conv"] for r in (exact, rounded))
    assert b.dtype is torch.float32
    assert not torch.equal(a, b)
    assert torch.allclose(a, b, atol=0.05)


def test_the_channels_last_layout_changes_no_response(stimuli: Stimuli) -> None:
    net = network(NextBlock)
    images, model = net.preprocess(stimuli, range(20)), net.build()
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = model.to(memory_format=layout)  # type: ignore[call-overload]
        with taps(model, ["conv", "fc"], Units.center) as taken, torch.inference_mode():
            model(images.contiguous(memory_format=layout))
        found.append(dict(taken))
    assert all(torch.allclose(found[0][n], found[1][n], atol=1e-5) for n in found[0])
