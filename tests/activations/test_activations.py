"""Extraction: the right units, from one pass, and a cache that survives what happens to files."""

from __future__ import annotations

import errno
import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convergence.activations import extract as activations
from convergence.activations.cache import Cached
from convergence.activations.extract import entry_of, extract
from convergence.activations.loading import Loader, batch_for
from convergence.activations.taps import taps
from convergence.models import recipes
from convergence.models.network import Network
from convergence.models.options import Precision, Units
from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system import files
from convergence.system.errors import UserError
from tests.support.networks import Net, network


@pytest.fixture
def stimuli() -> Stimuli:
    return load(ShapesConfig(size=16, stimuli=70), "test")


def get(net: Network, stimuli: Stimuli, place: Path, batch_size: Any = 32, **more: int) -> Cached:
    workers = more.get("workers", 0)
    return extract(net, Loader(net.preprocess, stimuli, place, batch_size, workers, torch.device("cpu")))


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
    monkeypatch.setattr(activations, "fill", lambda *_: pytest.fail("extracted again"))
    assert get(network(), stimuli, tmp_path, batch_size=5).fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_chunk_is_found_and_only_it_is_extracted_again(
    damage: str, stimuli: Stimuli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(activations, "CHUNK_BYTES", 20 * 4 * 34)
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


KINDS = {
    "cnn": Net,
    "vit": partial(recipes.TinyViT, 16),
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16**2, 40), nn.ReLU(inplace=True), nn.Linear(40, 16)),
}


@pytest.mark.parametrize("batch_size", [1, 3, 64, "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_the_same_to_1e_5_for_any_batch_size(
    kind: str, batch_size: Any, stimuli: Stimuli, tmp_path: Path
) -> None:
    net = network(make=KINDS[kind])
    names = list(net.layers)
    expected = get(net, stimuli, tmp_path / "a", 70).read(names, 0, 70)
    found = get(net, stimuli, tmp_path / "b", batch_size).read(names, 0, 70)
    assert len(names) > 1
    for name, values in expected.items():
        assert (found[name] - values).abs().max() <= 1e-5 * values.abs().max()


def test_a_float16_overflow_is_refused_at_the_first_batch(stimuli: Stimuli, tmp_path: Path) -> None:
    seen = []

    def grow(model: nn.Module) -> None:
        model.fc.weight.data.mul_(1e9)  # type: ignore[union-attr, operator]
        model.register_forward_hook(lambda *_: seen.append(1))

    with pytest.raises(UserError, match=r"layer 'fc' of net .*float16 ends at 65,504; use model.precision=bfloat16"):
        get(replace(network(grow), precision=Precision.float16), stimuli, tmp_path, batch_size=8)
    assert len(seen) == 3  # the layers were looked up by two passes, and one batch went through


def test_float32_is_float32_on_a_gpu_unless_tf32_is_asked_for(stimuli: Stimuli, tmp_path: Path) -> None:
    seen: list[tuple[bool, bool]] = []

    def look(model: nn.Module) -> None:
        flags = torch.backends.cuda.matmul, torch.backends.cudnn
        model.conv.register_forward_hook(lambda *_: seen.append(tuple(f.allow_tf32 for f in flags)))  # type: ignore

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    net = network(look)
    for precision, expected in ((Precision.float32, (False, False)), (Precision.tf32, (True, True))):
        seen.clear()
        get(replace(net, precision=precision), stimuli, tmp_path)
        assert set(seen) == {expected}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_another_kind_of_device_or_precision_is_another_entry(stimuli: Stimuli, tmp_path: Path) -> None:
    net = network()
    nets = [net, net, replace(net, precision=Precision.tf32), replace(net, precision=Precision.bfloat16)]
    devices = [torch.device(name) for name in ("cpu", "cuda:1", "cpu", "cpu")]
    entries = [entry_of(n, stimuli, tmp_path, d).folder for n, d in zip(nets, devices, strict=True)]
    assert len(set(entries)) == 4
    assert entry_of(net, stimuli, tmp_path, torch.device("cuda:0")).folder == entries[1]


def test_a_batch_that_does_not_fit_is_halved_with_the_same_numbers(stimuli: Stimuli, tmp_path: Path) -> None:
    sizes: list[int] = []

    def full(_module: nn.Module, inputs: tuple[Tensor], _output: Tensor) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    small = network(lambda m: m.fc.register_forward_hook(full))  # type: ignore[union-attr, operator]
    names = list(small.layers)
    expected = get(network(), stimuli, tmp_path / "a").read(names, 0, 70)
    sizes.clear()
    found = get(small, stimuli, tmp_path / "b", batch_size=32).read(names, 0, 70)
    assert sizes[:4] == [32, 16, 8, 4]
    assert max(sizes[4:]) <= 4  # it is not tried again
    assert all(torch.allclose(found[n], expected[n], atol=1e-5) for n in names)


@pytest.mark.parametrize(
    ("size", "device", "expected"),
    [(224, "cpu", 16), (32, "cpu", 64), (384, "cpu", 4), (2000, "cpu", 1), (224, "cuda", 256), (32, "cuda", 1024)],
)
def test_the_automatic_batch_follows_from_the_size_and_the_device(size: int, device: str, expected: int) -> None:
    assert batch_for("auto", (size, size), torch.device(device)) == expected
    assert batch_for(7, (size, size), torch.device(device)) == 7
