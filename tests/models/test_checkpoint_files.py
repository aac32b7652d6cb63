"""Checkpoint files in the shapes that people have are loaded to equal outputs."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import json
import logging
import pathlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from convergence.models import load as models
from convergence.models.options import RecipeConfig
from convergence.stimuli.options import ShapesConfig
from convergence.system.errors import UserError
from tests.support.checkpoints import NET, OTHER, STATE, State, expected, given, outputs, trained, under, without


def inner(part: str) -> State:
    """A wrapper inside of the network, as FSDP and activation checkpointing put it."""
    return {name.replace("layer2.", f"layer2.{part}."): value for name, value in STATE.items()}


def pruned() -> State:
    model = trained(3)
    prune.l1_unstructured(model.layer1.conv1, "weight", 0.3)
    return dict(model.state_dict())


def normalised(function: Callable[..., nn.Module]) -> State:
    model = trained(3)
    function(model.layer1.conv1)
    return dict(model.state_dict())


class Colour(enum.Enum):
    red = 1


def lightning() -> State:
    for name in ("lightning", "lightning.fabric", "lightning.fabric.utilities"):
        sys.modules[name] = types.ModuleType(name)
    made = types.ModuleType("lightning.fabric.utilities.data")
    made.AttributeDict = type("AttributeDict", (dict,), {"__module__": made.__name__})  # type: ignore[attr-defined]
    sys.modules[made.__name__] = made
    state = {"state_dict": under("model."), "epoch": 3, "global_step": 40, "hyper_parameters": made.AttributeDict(a=1)}
    return state | {"optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}], "callbacks": {}}


def munch() -> Any:
    sys.modules["easydict"] = made = types.ModuleType("easydict")
    made.EasyDict = type("EasyDict", (dict,), {"__module__": "easydict"})  # type: ignore[attr-defined]
    found = made.EasyDict(lr=0.1)
    found.lr = 0.1
    return found


SGD = torch.optim.SGD(NET.parameters(), lr=0.1, momentum=0.9)
CONTAINERS = ["state_dict", "model", "model_state_dict", "net", "network", "teacher", "student", "encoder"]
CONTAINERS += ["state_dict_ema", "model_ema", "ema", "module", "weights", "params", "backbone", "my_own_name"]
PREFIXES = ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module.", "model.", "backbone.", "encoder."]

PREFIXES += ["1.", "1.model.", "module.encoder_q.", "a.b.c."]
# What is saved by torch.save; the network is the one that was saved.
SAVED: dict[str, Callable[[], Any]] = {
    "bare": lambda: STATE,
    "OrderedDict": lambda: collections.OrderedDict(STATE),
    "defaultdict": lambda: collections.defaultdict(list, STATE),
    "nn.Parameter": lambda: {n: nn.Parameter(v) if v.is_floating_point() else v for n, v in STATE.items()},
    "numpy arrays": lambda: {n: v.numpy() for n, v in STATE.items()},
    **{
        f"container {name}": lambda name=name: {name: STATE, "epoch": 3}  # type: ignore[misc]
        for name in CONTAINERS
    },
    "nested containers": lambda: {"checkpoint": {"model": {"state_dict": STATE}}},
    **{
        f"prefix {prefix}": lambda prefix=prefix: under(prefix)  # type: ignore[misc]
        for prefix in PREFIXES
    },
    **{
        f"inside {part}": lambda part=part: inner(part)  # type: ignore[misc]
        for part in ("_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_orig_mod", "module")
    },
    "timm's training script": lambda: {
        "epoch": 9,
        "arch": "net",
        "state_dict": STATE,
        "optimizer": SGD.state_dict(),
        "args": argparse.Namespace(lr=0.1, data_dir=pathlib.PurePosixPath("/data"), started=datetime.date(2026, 1, 1)),
        "version": 2,
        "metric": np.float64(71.2),
    },
    "torchvision's references": lambda: {
        "model": under("module."),
        "lr_scheduler": {"base_lrs": [0.1], "milestones": collections.Counter({30: 1})},
        "args": argparse.Namespace(opt=functools.partial(torch.optim.SGD, lr=0.1)),
        "scaler": {"scale": 1.0},
    },
    "Lightning": lightning,
    "OmegaConf": lambda: {"state_dict": STATE, "cfg": OmegaConf.create({"lr": 0.1, "sizes": [1, 2]})},
    "numpy scalars and dtypes": lambda: {
        "net": STATE,
        "acc": np.float32(0.9),
        "kind": np.dtype("f4"),
        "n": np.int64(3),
    },
    "times and paths": lambda: {
        "net": STATE,
        "time": datetime.datetime.now(datetime.UTC),
        "path": pathlib.Path("/a/b"),
    },
    "criterion and queue": lambda: {
        "state_dict": under("module.encoder_q.")
        | {"module.queue": torch.rand(8, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)},
        "criterion.weight": torch.rand(10),
    },
    "SWA": lambda: under("module.") | {"n_averaged": torch.tensor(5)},
    "a normaliser before it": lambda: under("1.") | {"0.mean": torch.zeros(3), "0.std": torch.ones(3)},
    "attackers around it": lambda: {
        "model": under("module.model.")
        | under("module.attacker.model.")
        | {"module.normalizer.new_mean": torch.zeros(3, 1, 1), "module.attacker.normalize.new_std": torch.ones(3, 1, 1)}
    },
    "counters of thop": lambda: STATE | {"total_ops": torch.zeros(1), "layer1.total_params": torch.zeros(1)},
    "without counters": lambda: {n: v for n, v in STATE.items() if not n.endswith("num_batches_tracked")},
    "EMA beside raw weights": lambda: {"state_dict": STATE, "state_dict_ema": dict(OTHER.state_dict())},
    "EMA by prefix": lambda: under("model.") | under("ema_model.", dict(OTHER.state_dict())),
    "a config of another library": lambda: {"net": STATE, "cfg": munch()},
    "a projector beside it": lambda: under("backbone.") | {"projector.0.weight": torch.rand(4, 64)},
    "a backbone and a head": lambda: under("backbone.", without("fc.")) | under("head.", {n: STATE[n] for n in HEAD}),
    "shared tensors": lambda: {"model": STATE, "best": STATE},
    "pruned": pruned,
    "weight norm, old": lambda: normalised(nn.utils.weight_norm),
    "weight norm": lambda: normalised(nn.utils.parametrizations.weight_norm),
}
HEAD = ("fc.weight", "fc.bias")


@pytest.mark.parametrize("shape", SAVED)
def test_what_training_scripts_save_is_loaded_to_equal_outputs(shape: str, tmp_path: Path) -> None:
    torch.save(SAVED[shape](), tmp_path / "a.pth")
    for name in [name for name in sys.modules if name.split(".")[0] in ("lightning", "easydict")]:
        del sys.modules[name]  # a machine without it, as the one that compares
    if shape == "pruned":
        model = trained(3)
        prune.l1_unstructured(model.layer1.conv1, "weight", 0.3)
        assert torch.equal(outputs(given(tmp_path / "a.pth")), expected(model))
    else:
        assert torch.allclose(outputs(given(tmp_path / "a.pth")), expected(NET), atol=1e-5 if "norm" in shape else 0)


def _sharded(folder: Path) -> Path:
    names = sorted(STATE)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for part, keys in parts.items():
        save_file({n: STATE[n] for n in keys}, folder / part)
    weight_map = {name: part for part, keys in parts.items() for name in keys}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def _kept(path: Path, write: Callable[[Path], object], give: Path | None = None) -> Path:
    write(path)
    return give or path


FILES: dict[str, Callable[[Path], Path]] = {
    "safetensors": lambda f: _kept(f / "a.safetensors", lambda p: save_file(STATE, p)),
    "safetensors by another name": lambda f: _kept(f / "a.bin", lambda p: save_file(STATE, p)),
    "ckpt": lambda f: _kept(f / "epoch=9-step=391.ckpt", lambda p: torch.save({"state_dict": STATE}, p)),
    "pth.tar": lambda f: _kept(f / "model_best.pth.tar", lambda p: torch.save({"state_dict": STATE}, p)),
    "no ending": lambda f: _kept(f / "weights", lambda p: torch.save(STATE, p)),
    "the format before zip": lambda f: _kept(
        f / "a.th", lambda p: torch.save(STATE, p, _use_new_zipfile_serialization=False)
    ),
    "a folder of safetensors": lambda f: _kept(f / "model.safetensors", lambda p: save_file(under("net."), p), f),
    "a folder with pytorch_model.bin": lambda f: _kept(f / "pytorch_model.bin", lambda p: torch.save(STATE, p), f),
    "a sharded folder": _sharded,
    "the index of a sharded folder": lambda f: _sharded(f) / "model.safetensors.index.json",
}


@pytest.mark.parametrize("kind", FILES)
def test_files_and_folders_of_all_kinds_are_read(kind: str, tmp_path: Path) -> None:
    assert torch.equal(outputs(given(FILES[kind](tmp_path))), expected(NET))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_brought_to_the_networks(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {n: v.to(dtype) if v.is_floating_point() else v for n, v in STATE.items()}
    torch.save(state, tmp_path / "a.pth")
    network = given(tmp_path / "a.pth")
    assert torch.equal(network.build().conv1.weight, state["conv1.weight"].float())
    assert torch.allclose(outputs(network), expected(NET), atol=0.1)


def test_a_checkpoint_with_another_number_of_classes_makes_a_network_with_as_many(tmp_path: Path) -> None:
    model = trained(5, classes=7)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    assert torch.equal(outputs(given(tmp_path / "a.pth")), expected(model))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (lambda: {"state_dict": dict(OTHER.state_dict()), "state_dict_ema": STATE}, "state_dict_ema"),
        (lambda: {"student": dict(OTHER.state_dict()), "teacher": under("backbone.")}, "teacher"),
        (lambda: under("module.encoder_q.") | under("module.encoder_k.", dict(OTHER.state_dict())), "encoder_q"),
        (lambda: {"nets": {"a": STATE, "b": dict(OTHER.state_dict())}}, "nets.a"),
    ],
)
def test_of_several_networks_in_a_file_the_key_chooses(content: Callable[[], Any], key: str, tmp_path: Path) -> None:
    torch.save(content(), tmp_path / "a.pth")
    assert torch.equal(outputs(given(tmp_path / "a.pth", weights_key=key)), expected(NET))


def test_without_a_head_the_layers_before_it_are_compared_and_no_accuracy_is_told(tmp_path: Path) -> None:
    torch.save(without("fc."), tmp_path / "a.pth")
    whole, bare = (given(p) for p in (_kept(tmp_path / "b.pth", lambda p: torch.save(STATE, p)), tmp_path / "a.pth"))
    assert list(bare.layers) == list(whole.layers)[:-1]
    assert bare.weights_hash == given(tmp_path / "a.pth").weights_hash  # nothing random takes its place
    assert bare.classes is not None
    with pytest.raises(UserError, match=r"lacks fc.weight, fc.bias, and fc depends on that"):
        given(tmp_path / "a.pth", layers=["conv1", "fc"])
    assert list(given(tmp_path / "a.pth", layers=["conv1"]).layers) == ["conv1"]


def test_a_head_of_another_kind_is_left_out(tmp_path: Path) -> None:
    head = {"fc.0.weight": torch.rand(64, 64), "fc.0.bias": torch.rand(64), "fc.2.weight": torch.rand(8, 64)}
    torch.save(without("fc.") | head, tmp_path / "a.pth")
    assert "fc" not in given(tmp_path / "a.pth").layers


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda: under("backbone."), "the prefix backbone. of the names is left out"),
        (lambda: without("fc."), "there are no weights that fit fc, so that it is not compared"),
        (lambda: STATE | {"queue": torch.rand(3)}, "queue is not of the network"),
        (
            lambda: SAVED["EMA beside raw weights"](),
            "averaged weights are there too and not used (model.weights_key=sta",
        ),
    ],
)
def test_what_was_assumed_is_said_once(
    content: Callable[[], Any],
    sentence: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    caplog.set_level(logging.INFO)
    for name in ("a.pth", "b.pth"):
        torch.save(content(), tmp_path / name)
    config = RecipeConfig(name="tiny_resnet", checkpoints=[str(tmp_path / "a.pth"), str(tmp_path / "b.pth")])
    runs = models.trajectories(config, ShapesConfig(size=16, stimuli=16), folder=tmp_path, device=torch.device("cpu"))
    for run in runs:
        run[-1].build()
    assert caplog.text.count(sentence) == 1
