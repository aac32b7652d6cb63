"""The user's own network, named by FILE.py:NAME: from seeds, from files, trained here; and what is said of errors."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from convergence.commands.main import main
from convergence.models import load as models
from convergence.models.options import ModuleConfig, SeedsConfig, TrainingConfig
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system import user_code
from convergence.system.errors import UserError

CPU = torch.device("cpu")
SMALL = ShapesConfig(size=16, stimuli=40, train_images=64)
NETS = """\
import torch
from torch import nn
from parts import stem

class Small(nn.Module):
    def __init__(self, width=4, num_classes=16):
        super().__init__()
        self.conv1 = stem(width)
        self.bn = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.bn(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))

def small():
    return Small()

def needy(width, depth=2):
    return Small(width)

def number():
    return 3

def fails():
    raise RuntimeError("no weights on this disk")

class Grey(Small):
    def forward(self, x):
        return self.fc(self.conv2(x[:, :1]))

class Masked(Small):
    def forward(self, x, mask, *, scale=1):
        return super().forward(x * mask * scale)

made = Small()
width = 3

def grey(image):
    import numpy as np
    return torch.from_numpy(np.array(image.convert("L").resize((8, 8)))).float()[None].expand(3, -1, -1) / 255

def as_list(image):
    return [image]

def leaves():
    import argparse
    argparse.ArgumentParser().parse_args(["--no-such-flag"])

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(10))

class Sized(Small):
    def forward(self, x):
        return super().forward(x.reshape(-1, 3, 32, 32)[: len(x)])

class Leaving(Small):
    def forward(self, x):
        leaves()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "parts.py").write_text("from torch import nn\ndef stem(n):\n    return nn.Conv2d(3, n, 3)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small() -> torch.nn.Module:
    made: torch.nn.Module = user_code.load("nets.py:small", "model.factory")()
    return made


def save(*names: str) -> list[str]:
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        torch.save({"state_dict": small().state_dict()}, name)
    return list(names)


def trajectories(config: ModuleConfig, folder: Path) -> list[list[models.Network]]:
    return models.trajectories(config, SMALL, folder=folder, device=CPU)


def run(*words: str) -> pd.DataFrame:
    options = ["dataset=shapes", "dataset.size=16", "dataset.stimuli=40", "dataset.train_images=64", "metric=linear"]
    assert main(["run", *words, *options, "figures=false", "progress=false"]) == 0
    return pd.concat([pd.read_parquet(p) for p in Path("outputs").rglob("results.parquet")], ignore_index=True)


def test_files_give_the_networks_that_were_saved(folder: Path) -> None:
    torch.manual_seed(3)
    saved = small()
    torch.save(saved.state_dict(), "a.pth")
    ((network,),) = trajectories(ModuleConfig(factory="nets.py:small", checkpoints=["a.pth"]), folder)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(network.build()(images), saved.eval()(images))
    assert (network.model, list(network.layers)) == ("small", ["conv1", "conv2", "fc"])


def test_without_files_networks_are_initialised_from_the_seeds(folder: Path) -> None:
    config = ModuleConfig(factory="nets.py:Small", arguments={"width": 6}, seeds=SeedsConfig([4, 5]))
    (first,), (second,) = trajectories(config, folder)
    assert first.is_untrained
    assert first.weights_hash != second.weights_hash
    assert first.layers["conv1"].shape == (6, 14, 14)


def test_a_changed_file_is_a_changed_network(folder: Path) -> None:
    config = ModuleConfig(factory="nets.py:small", checkpoints=save("a.pth"))
    before = trajectories(config, folder)[0][0].weights_hash
    assert trajectories(config, folder)[0][0].weights_hash == before
    (folder / "parts.py").write_text("from torch import nn\ndef stem(n):\n    return nn.Conv2d(3, n, 3, stride=2)\n")
    assert trajectories(config, folder)[0][0].weights_hash != before


def test_images_enter_at_their_own_size_with_imagenets_normalisation_unless_told_otherwise(folder: Path) -> None:
    stimuli = load(SMALL, "test")

    def entered(**options: object) -> Tensor:
        config = ModuleConfig(factory="nets.py:small", seeds=SeedsConfig([0]), **options)  # type: ignore[arg-type]
        return trajectories(config, folder)[0][0].preprocess(stimuli, [0])

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    raw = stimuli.pixels([0]).float() / 255  # type: ignore[union-attr]
    assert torch.allclose(entered(), (raw - mean[:, None, None]) / std[:, None, None])
    assert torch.allclose(entered(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0]), raw)
    assert entered(image_size=24).shape == (1, 3, 24, 24)
    own = entered(preprocess="nets.py:grey")
    assert own.shape == (1, 3, 8, 8)
    assert torch.equal(own[0, 0], own[0, 2])


def test_it_is_trained_here_with_the_checkpoints_of_recipes(folder: Path) -> None:
    training = TrainingConfig(epochs=1, batch_size=32, early_checkpoints=1)
    config = ModuleConfig(factory="nets.py:Small", train=True, training=training, seeds=SeedsConfig([0]))
    (run,) = trajectories(config, folder)
    assert [n.step for n in run] == [0, 1, 2]
    assert run[-1].weights_hash != run[0].weights_hash
    assert run[-1].layers["fc"].shape == (16,)
    again = trajectories(config, folder)[0]
    assert [n.weights_hash for n in again] == [n.weights_hash for n in run]


def test_it_runs_alone_against_others_in_a_population_and_on_every_axis(folder: Path) -> None:
    files = f"model.checkpoints=[{','.join(save('a.pth', 'b.pth'))}]"
    own = ["model=module", "model.factory=nets.py:small"]
    assert set(run(*own, files).source_weights) == {"a.pth", "b.pth", "untrained0", "untrained1"}
    training = ["model.train=true", "model.training.epochs=1", "model.training.batch_size=32"]
    assert set(run(*own, *training, "axis=training").source_epoch.dropna()) >= {0.0, 1.0}
    shifted = ["axis=ood", "dataset.conditions=[contrast]", "dataset.levels=[c30]", "axis.protocols=[transfer]"]
    assert "contrast" in set(run(*own, files, *shifted).condition)
    table = run(*own, "model.seeds.init=[0]", "model@against=torchvision", "against.image_size=32", "model.layers=[fc]")
    assert {"small", "resnet18"} <= set(table.source_model)
    members = (
        "[{model: module, factory: 'nets.py:small', checkpoints: a.pth},{model: module, factory: 'nets.py:Small'}]"
    )
    assert "Small" in set(run(f"model={members}", "model.seeds.init=[7]").target_model)


def test_a_normalisation_given_as_it_is_by_default_shares_the_cache(folder: Path) -> None:
    key, given, other = (
        trajectories(ModuleConfig(factory="nets.py:small", seeds=SeedsConfig([0]), mean=mean, std=std), folder)[0][
            0
        ].key
        for mean, std in ((None, None), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), ([0.5, 0.5, 0.5], None))
    )
    assert given == key != other


def test_without_a_heads_weights_the_layers_before_it_are_compared_and_accuracy_is_empty(folder: Path) -> None:
    for seed, name in enumerate(("a.pth", "b.pth")):
        torch.manual_seed(seed)
        torch.save({n: v for n, v in small().state_dict().items() if not n.startswith("fc")}, name)
    table = run(
        "model=module", "model.factory=nets.py:small", "model.checkpoints=[a.pth,b.pth]", "axis.untrained=false"
    )
    assert set(table.source_layer) == {"conv1", "conv2"}
    assert table.source_accuracy.isna().all()


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no factory": ({}, "needs model.factory=FILE.py:NAME"),
    "not callable": ({"factory": "nets.py:width"}, "is of type int: give a function"),
    "a network": ({"factory": "nets.py:made"}, "a network that is made already"),
    "no network": ({"factory": "nets.py:number"}, "returned an object of type int, not an nn.Module"),
    "needs arguments": ({"factory": "nets.py:needy"}, r"it takes width, depth; give model.arguments=\{width: …\}"),
    "other arguments": (
        {"factory": "nets.py:small", "arguments": {"width": 3}},
        r"unexpected keyword argument 'width'; it takes none",
    ),
    "raises": ({"factory": "nets.py:fails"}, r"raised an error \(nets.py:27: RuntimeError: no weights on this disk\)"),
    "leaves the program": ({"factory": "nets.py:leaves"}, r"raised an error \(nets.py:\d+: SystemExit: 2\)"),
    "lazy": ({"factory": "nets.py:lazy"}, "whose 0 gets its weights at the first forward pass"),
    "another input": (
        {"factory": "nets.py:Grey"},
        r"fails on images of 3 × 16 × 16, and on other sizes as well: nets.py:31: RuntimeError: .*model.preprocess=",
    ),
    "another size": (
        {"factory": "nets.py:Sized"},
        r"does not take images of 16 × 16 pixels, but does of 32 × 32: use model.image_size=32, .*\(nets.py:\d+: ",
    ),
    "a forward pass that leaves the program": ({"factory": "nets.py:Leaving"}, r"as well: nets.py:\d+: SystemExit: 2;"),
    "another size, trained here": ({"factory": "nets.py:Sized", "train": True}, "use model.image_size=32"),
    "another argument of forward": (
        {"factory": "nets.py:Masked"},
        r"needs x and mask, and is given the images alone: give mask a default, or wrap .* and passes it on",
    ),
    "preprocess": ({"factory": "nets.py:small", "preprocess": "nets.py:as_list"}, r"gives a list: .* \(C, H, W\)"),
    "both": ({"factory": "nets.py:small", "preprocess": "nets.py:grey", "image_size": 8}, "the place of model.image_"),
    "mean": ({"factory": "nets.py:small", "mean": [0.5]}, r"model.mean=\[0.5\] has 1 numbers: give three"),
    "std": ({"factory": "nets.py:small", "std": [0.5, 0.0, 1.0]}, "a standard deviation is above 0"),
    "trained files": ({"factory": "nets.py:small", "train": True, "checkpoints": ["a.pth"]}, "leave out model.check"),
    "few outputs": (
        {"factory": "nets.py:Small", "train": True, "arguments": {"num_classes": 2}},
        r"has 2 outputs and the data set \d+ classes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_network_is_said_in_one_sentence(case: str, folder: Path) -> None:
    options, sentence = WRONG[case]
    with pytest.raises(UserError, match=sentence) as caught:
        trajectories(ModuleConfig(**options), folder)  # type: ignore[arg-type]
    assert "\n" not in textwrap.dedent(str(caught.value))
