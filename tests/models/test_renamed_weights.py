"""Weights by other names than the network's: which ones, what they may be meant for, and the rule that renames them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convergence.commands.main import main
from convergence.commands.values import as_typed, parsed
from convergence.models.checkpoints.load import fit
from convergence.models.options import ModuleConfig

NETS = """\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return x + torch.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self, width=4, depth=3):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.between = nn.Conv2d(width, width, 1)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.between(self.blocks(self.stem(x))).mean((2, 3)))


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Net()

    def forward(self, x):
        return self.backbone(x)


class Headed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(*list(Net().children())[:3])
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
"""
Names = Callable[[str], str]


def sub(*rules: tuple[str, str]) -> Names:
    def named(name: str) -> str:
        for pattern, by in rules:
            name = re.sub(pattern, by, name)
        return name

    return named


# The names of the file made of the network's, the network, what the sentence asks, and how many rules answer it.
RENAMED: dict[str, tuple[Names, str, str, int]] = {
    "the first module": (sub(("^stem", "conv1")), "Net", "lacks stem.weight.* mean its conv1.weight, conv1.bias\\?", 1),
    "a module within": (sub(("^between", "mid")), "Net", "lacks between.weight.* mean its mid.weight, mid.bias\\?", 1),
    "a module of each block": (
        sub((r"\.norm\.", ".bn.")),
        "Net",
        "lacks blocks.0.norm.weight.*its blocks.0.bn.weight",
        1,
    ),
    "another list of blocks": (sub((r"^blocks\.", "layers.")), "Net", "lacks blocks.0.conv.weight", 1),
    "a part more in each block": (sub((r"^(blocks\.\d)\.", r"\1.body.")), "Net", "its blocks.0.body.conv.weight", 1),
    "a part less in each block": (sub((r"\.conv\.", ".")), "Net", "lacks blocks.0.conv.weight.*its blocks.0.weight", 2),
    "a prefix of the network": (
        sub(("^backbone.", "")),
        "Wrapped",
        "lacks backbone.stem.weight.*mean its stem.weight",
        1,
    ),
    "another prefix": (sub(("^backbone.", "encoder.")), "Wrapped", "mean its encoder.stem.weight", 1),
    "a prefix of all but the head": (sub((r"^body\.", "")), "Headed", "lacks body.0.weight.*mean its 0.weight", 1),
    "several modules": (
        sub(("^stem", "conv1"), ("^between", "mid"), (r"\.norm\.", ".bn.")),
        "Net",
        "lacks stem.weight.*mean its conv1.weight",
        3,
    ),
    "weights": (
        sub((r"\.norm\.weight", ".norm.gamma"), (r"\.norm\.bias", ".norm.beta")),
        "Net",
        "blocks.0.norm.gamma",
        2,
    ),
    "behind a wrapper": (sub(("^stem", "conv1"), ("^", "module.")), "Net", "mean its conv1.weight, conv1.bias\\?", 1),
    "in a container": (sub(("^stem", "conv1"), ("^", "net.model.")), "Net", "mean its conv1.weight, conv1.bias\\?", 1),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETS)
    return tmp_path


def made(name: str, seed: int = 0) -> nn.Module:
    scope: dict[str, type[nn.Module]] = {}
    exec(NETS, scope)  # the networks of the file, beside it
    torch.manual_seed(seed)
    return scope[name]()


def save(names: Names, network: str = "Net", seed: int = 0) -> dict[str, Tensor]:
    state = {names(n): v for n, v in made(network, seed).state_dict().items()}
    Path("runs").mkdir(exist_ok=True)
    torch.save(state, f"runs/seed{seed}.pth")
    return state


def command(network: str, *more: str) -> list[str]:
    small = ["dataset.size=16", "dataset.stimuli=20", "metric=procrustes", "metric.folds=2", "axis.untrained=false"]
    quiet = ["figures=false", "progress=false", "device=cpu"]
    files = ["model.checkpoints=runs/seed{seed}.pth", f"model.factory=net.py:{network}"]
    return ["run", "model=module", *files, *small, *quiet, *more]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on the error stream."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("case", RENAMED)
def test_renamed_weights_are_named_with_the_rules_that_fit_them(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, network, sentence, rules = RENAMED[case]
    for seed in (0, 1):
        save(names, network, seed)
    assert main(command(network)) == 1
    said = told(capsys)
    assert re.search(sentence, said), said
    assert not list(folder.rglob("chunk-*"))
    (option,) = re.findall(r"'(model\.key_map=\[.*\])'", said)
    key_map = parsed("key_map=" + as_typed(option.partition("=")[2], literal=False, swept=False)).value()
    assert len(key_map) == rules
    found = fit(
        ModuleConfig(factory=f"net.py:{network}", key_map=list(map(str, key_map))),
        made(network),
        Path("runs/seed0.pth"),
    )
    assert not found.missing
    own = made(network).state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in found.state.items())


# What is in the file beside or in place of the network's weights, and the sentence; none of these may be a question.
OTHERS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "wider": (
        lambda s: dict(made("Net").__class__(width=8).state_dict()),
        r"stem.weight \(8, 3, 3, 3\) for \(4, 3, 3, 3\)",
    ),
    "deeper": (lambda s: dict(made("Net").__class__(depth=4).state_dict()), "it has the unknown blocks.3.conv.weight"),
    "less deep": (lambda s: dict(made("Net").__class__(depth=1).state_dict()), "lacks blocks.1.conv.weight"),
    "renamed and wider": (
        lambda s: {n.replace("stem", "conv1"): v for n, v in made("Net").__class__(width=8).state_dict().items()},
        "its shapes differ: blocks.0.conv.weight",
    ),
    "another network": (
        lambda s: {f"part{i}.weight": torch.rand(4, 3, 3, 3) for i in range(3)},
        "lacks stem.weight.* it has the unknown part0.weight.*or rename",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_weights_of_other_shapes_are_not_taken_for_renamed_ones(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = OTHERS[case]
    for seed in (0, 1):
        save(str, seed=seed)
        torch.save(change(torch.load(f"runs/seed{seed}.pth")), f"runs/seed{seed}.pth")
    assert main(command("Net")) == 1
    said = told(capsys)
    assert re.search(sentence, said), said
    assert "did you mean" not in said
    assert ("model.arguments" in said) is (case != "less deep"), said


def test_rules_are_added_to_those_that_are_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        save(sub(("^stem", "conv1"), ("^between", "mid")), seed=seed)
    assert main(command("Net", 'model.key_map=["^mid=>between"]')) == 1
    assert re.search(r'mean its conv1.weight, conv1.bias\? If so, add "\^conv1\S+" to model.key_map', told(capsys))
    assert main(command("Net", r'model.key_map=["^mid=>between","^conv1\.=>stem."]')) == 0


def test_a_head_of_another_name_is_no_error_and_is_told(folder: Path) -> None:
    save(sub(("^head", "classifier")))
    found = fit(ModuleConfig(factory="net.py:Net"), made("Net"), Path("runs/seed0.pth"))
    assert found.headless
    assert any("not compared (did you mean its classifier.weight, classifier.bias?" in note for note in found.notes)
