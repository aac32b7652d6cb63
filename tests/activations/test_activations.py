"""Extraction: the right units, from one pass, and a cache that survives what happens to files."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convergence.activations import extract as activations
from convergence.activations.cache import Cached
from convergence.activations.extract import extract, taps
from convergence.models.network import Network, describe
from convergence.models.options import Units
from convergence.models.preprocess import PixelPreprocess
from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system import files
from convergence.system.errors import UserError
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


def network(change: Callable[[nn.Module], None] = lambda m: None, units: Units | None = None) -> Network:
    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = Net()
        change(model)
        return model

    layers, rule = describe(build(), torch.zeros(1, 3, 16, 16), None, units, "net")
    state = hash_tensors(build().state_dict())
    return Network("net", "seed0", 0, 1, 1.0, state, layers, rule, PixelPreprocess(None), None, build)


@pytest.fixture
def stimuli() -> Stimuli:
    return load(ShapesConfig(size=16, stimuli=70), "test")


def get(net: Network, stimuli: Stimuli, place: Path, batch_size: int = 32, **more: int) -> Cached:
    options = {"workers": 0} | more
    return extract(net, stimuli, cache=place, device=torch.device("cpu"), batch_size=batch_size, **options)  # type: ignore[arg-type]


def test_the_centre_unit_is_taken_before_an_in_place_operation_changes_it(stimuli: Stimuli, tmp_path: Path) -> None:
    net = network()
    found = get(net, stimuli, tmp_path)
    model = net.build()
    with torch.inference_mode():
        maps = model.conv(net.preprocess(stimuli, range(70)))  # type: ignore[operator]
    responses = found.read(["conv"], 0, 70)["conv"]
    assert torch.allclose(responses, maps[..., 4, 4], atol=1e-5)
    assert (responses < 0).any()


def test_a_module_called_twice_gives_a_layer_for_each_call(stimuli: Stimuli, tmp_path: Path) -> None:
    found = get(network(), stimuli, tmp_path)
    assert list(found.layers) == ["conv", "twice", "twice:1", "fc"]
    first, second = found.read(["twice", "twice:1"], 0, 70).values()
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("units", [Units.mean, Units.samples, Units.flatten])
def test_maps_become_units_by_the_rule(units: Units, stimuli: Stimuli, tmp_path: Path) -> None:
    found = get(network(units=units), stimuli, tmp_path)
    assert found.layers["conv"] == (6 * 64 if units is Units.flatten else 6)
    assert found.positions["conv"] == (64 if units is Units.samples else 1)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (70, 0), (9, 2)])
def test_numbers_depend_on_neither_batch_size_nor_workers(
    batch_size: int, workers: int, stimuli: Stimuli, tmp_path: Path
) -> None:
    names = list(network().layers)
    expected = get(network(), stimuli, tmp_path / "a").read(names, 0, 70)
    found = get(network(), stimuli, tmp_path / "b", batch_size, workers=workers).read(names, 0, 70)
    assert all(torch.allclose(found[n], expected[n], atol=1e-5) for n in names)


def test_a_second_call_reads_the_cache_and_other_weights_have_another_entry(
    stimuli: Stimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = get(network(), stimuli, tmp_path)
    changed = network(lambda m: nn.init.zeros_(m.fc.bias))  # type: ignore[union-attr, arg-type]
    assert get(changed, stimuli, tmp_path).fingerprint != first.fingerprint
    monkeypatch.setattr(activations, "_fill", lambda *_: pytest.fail("extracted again"))
    assert get(network(), stimuli, tmp_path, batch_size=5).fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_chunk_is_found_and_only_it_is_extracted_again(
    damage: str, stimuli: Stimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(activations, "_CHUNK_BYTES", 20 * 4 * 34)
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    expected = get(network(), stimuli, tmp_path).read(["fc"], 0, 70)["fc"]
    chunks = sorted((tmp_path / "activations").rglob("chunk-*"))
    assert len(chunks) == 4
    content = bytearray(chunks[1].read_bytes())
    content[-5] ^= 64
    chunks[1].write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    before = chunks[0].stat().st_mtime_ns
    time.sleep(0.02)
    assert torch.equal(get(network(), stimuli, tmp_path).read(["fc"], 0, 70)["fc"], expected)
    assert "is broken and is extracted again" in caplog.text
    assert chunks[0].stat().st_mtime_ns == before


def test_a_response_that_is_not_finite_is_named_by_layer_and_stimulus(stimuli: Stimuli, tmp_path: Path) -> None:
    broken = network(lambda m: m.fc.bias.data.fill_(torch.nan))  # type: ignore[union-attr, operator]
    with pytest.raises(UserError, match=r"layer 'fc' of net .* NaN or infinite response to stimulus shapes-0-test-0"):
        get(broken, stimuli, tmp_path)


def test_hooks_are_removed_after_an_error() -> None:
    model = Net()
    with pytest.raises(RuntimeError), taps(model, ["conv"], Units.center):
        raise RuntimeError
    assert not model.conv._forward_hooks
    assert not model._forward_pre_hooks


def test_a_layer_whose_first_axis_is_not_the_stimulus_is_refused() -> None:
    model = nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 4))
    with taps(model, ["1"], Units.center), pytest.raises(UserError, match="first axis is not the stimulus"):
        model(torch.zeros(2, 3, 4))


def test_a_full_disk_gets_one_sentence_and_leaves_no_half_file(
    stimuli: Stimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match="could not be written, the disk is full"):
        get(network(), stimuli, tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
