"""What is no checkpoint of the network is refused with the right sentence; keys and key maps."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from convergence.system.errors import UserError
from tests.support.checkpoints import (
    IMAGES,
    NET,
    OTHER,
    STATE,
    State,
    expected,
    given,
    outputs,
    trained,
    under,
    without,
)


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("echo executed",)


class Custom:
    """A class of the user's project."""


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.txt", "none")


def _tar(path: Path) -> None:
    torch.save(STATE, path.with_suffix(".pt"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_suffix(".pt"), "a.pt")


def _cut(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:2000])


def _jit(path: Path) -> None:
    torch.jit.save(torch.jit.trace(NET, IMAGES), path)


def both_encoders() -> State:
    return under("module.encoder_q.") | under("module.encoder_k.", dict(OTHER.state_dict()))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: None, "does not exist"),
    "empty": (lambda p: p.write_bytes(b""), "is no checkpoint: it is empty"),
    "HTML": (lambda p: p.write_text("<!DOCTYPE html><html>Sign in"), "it is an HTML page"),
    "LFS pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1"), "git lfs pull"),
    "JSON": (lambda p: p.write_text('{"error": "not found"}'), r"it is a text \(JSON\)"),
    "text": (lambda p: p.write_text("404: Not Found"), "begins with the text '404: Not Found'"),
    "cut short": (_cut, r"is cut short or damaged \(2,000 bytes\)"),
    "cut short safetensors": (
        lambda p: (save_file(STATE, p), p.write_bytes(p.read_bytes()[:-500])),
        "is cut short or damaged",
    ),
    "compressed": (lambda p: p.write_bytes(gzip.compress(b"a")), "it is compressed; unpack it first"),
    "archive": (_tar, r"it is an archive \(tar\)"),
    "zip": (_zip, "cannot be read as a checkpoint|is cut short or damaged"),
    "TorchScript": (_jit, "is a TorchScript archive"),
    "a command": (
        lambda p: torch.save({"net": STATE, "x": Runs()}, p),
        r"an object of type (posix|nt|os).system, and is",
    ),
    "a whole network": (
        lambda p: torch.save(nn.Linear(2, 2), p),
        "a network of torch's, pickled whole, .*c.state_dict",
    ),
    "a class of the user's": (
        lambda p: torch.save({"net": STATE, "x": Custom()}, p),
        "test_refused_checkpoints.Custom, and",
    ),
    "no weights": (lambda p: torch.save({"epoch": 3}, p), "holds no weights: there is no tensor"),
    "two networks": (lambda p: torch.save(both_encoders(), p), "of 2 networks, encoder_q, encoder_k: .*=encoder_q"),
    "two containers": (
        lambda p: torch.save({"student": STATE, "teacher": dict(OTHER.state_dict())}, p),
        "of 2 networks, student, teacher: choose",
    ),
    "another architecture": (
        lambda p: torch.save(trained(3, "tiny_vgg").state_dict(), p),
        "it lacks .*unknown features",
    ),
    "another architecture with like parts": (
        lambda p: torch.save({f"blocks.{i}.conv1.weight": torch.rand(16, 3, 3, 3) for i in range(5)}, p),
        "is not a checkpoint of tiny_resnet: it lacks ",
    ),
    "a larger network": (
        lambda p: torch.save(STATE | {"layer3.conv3.weight": torch.rand(64, 64, 3, 3)}, p),
        "it has the unknown layer3.conv3.weight",
    ),
    "another width": (
        lambda p: torch.save(STATE | {"layer1.conv1.weight": torch.rand(32, 16, 3, 3)}, p),
        r"its shapes differ: layer1.conv1.weight \(32, 16, 3, 3\) for \(16, 16, 3, 3\)",
    ),
    "a hole in the middle": (lambda p: torch.save(without("layer2.conv1"), p), "lacks layer2.conv1.weight"),
    "an empty folder": (lambda p: p.mkdir(), "is a folder without model.safetensors or pytorch_model.bin"),
}


@pytest.mark.parametrize("shape", REFUSED)
def test_what_is_no_checkpoint_of_the_network_is_said_in_one_sentence(
    shape: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write, sentence = REFUSED[shape]
    ending = ".safetensors" if "safetensors" in shape else ".pth"
    write(tmp_path / f"a{ending}")
    with pytest.raises(UserError, match=sentence) as caught:
        given(tmp_path / f"a{ending}")
    assert "executed" not in capfd.readouterr().out
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_key_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "state_dict_ema": STATE}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"model.weights_key=ema2 is not in .*: it has state_dict"):
        given(tmp_path / "a.pth", weights_key="ema2")


def test_a_key_map_is_a_list_of_rules_too_and_drops_what_an_exclamation_mark_says(tmp_path: Path) -> None:
    state = {n.replace("conv1", "stem", 1) if n.startswith("conv1") else n: v for n, v in STATE.items()}
    torch.save(state | {"layer1.extra.weight": torch.rand(3)}, tmp_path / "a.pth")
    for key_map in (["^stem=>conv1", r"^layer1\.extra=>!"], {"^stem": "conv1", r"^layer1\.extra": "!"}):
        assert torch.equal(outputs(given(tmp_path / "a.pth", key_map=key_map)), expected(NET))
    with pytest.raises(UserError, match=r"model.key_map: '\^stem' has no =>: write PATTERN=>REPLACEMENT"):
        given(tmp_path / "a.pth", key_map=["^stem"])


def test_a_key_map_is_read_behind_wrappers_and_prefixes_too(tmp_path: Path) -> None:
    state = {n.replace("conv1", "stem") if n.startswith("conv1") else n: v for n, v in STATE.items()}
    torch.save(under("module.", state), tmp_path / "a.pth")
    assert torch.equal(outputs(given(tmp_path / "a.pth", key_map=["^stem=>conv1"])), expected(NET))
    torch.save(state, tmp_path / "c.pth")
    chain = ["^stem=>conv", "^conv\\.=>conv1."]  # each once
    assert torch.equal(outputs(given(tmp_path / "c.pth", key_map=chain)), expected(NET))
    other = {"module.encoder_q.fc.weight": torch.rand(8, 64), "module.encoder_q.fc.bias": torch.rand(8)}
    torch.save(under("module.encoder_q.", without("fc.")) | other, tmp_path / "b.pth")
    assert "fc" not in given(tmp_path / "b.pth", key_map=["^fc=>!"]).layers
