"""What can be known before extraction is refused before it: no stimuli pass through a network, nothing is left."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from convergence.commands import main as cli
from tests.support.folders import picture

RUN = [
    *("run", "model=tiny_vgg", "model.training.epochs=0", "dataset=digits", "dataset.stimuli=60"),
    *("dataset.train_images=64", "axis.pairs=matched", "figures=false", "progress=false"),
]
AGAINST = ["model.layers=[features.1]", "model@against=tiny_resnet", "against.training.epochs=0", "against.layers=[fc]"]
CASES: dict[str, tuple[list[str], str]] = {
    "no layers of equal width": (
        [*AGAINST, "metric=permutation", "axis.pairs=all"],
        "needs layers of equal width",
    ),
    "no layers of as many positions": (
        [*AGAINST, "metric=procrustes", "model.units=samples"],
        "no pair of layers has the same number of positions",
    ),
    "samples of a measure that compares stimuli": (
        ["metric.names=[rsa]", "model.units=samples", "model.layers=[features.1]"],
        "can't compare stimuli that have several samples each",
    ),
    "too few stimuli for the folds": (["dataset.stimuli=8"], "too few for 5 folds"),
    "too few stimuli for a measure": (["metric.names=[cka]", "dataset.stimuli=15"], "cka needs at least 4 stimuli"),
    "too few stimuli for a measure in a sweep": (
        ["metric.names=[cka]", "axis.stimuli_sweep=[15]"],
        "cka needs at least 4 stimuli",
    ),
    "too few draws": (["null=shuffle", "null.draws=5"], "ask for 19 draws or more"),
    "more draws than memory holds": (["null=shuffle", "null.draws=2000000000"], "draws of chance"),
    "no such function for a metric": (["metric.names=[nowhere.py:score]"], "nowhere.py"),
    "a layer that is not there": (["model.layers=[conv9]"], "conv9"),
    "a pair wider than the budget": (["memory_gb=1e-6"], "the budget is"),
    "Gram matrices larger than the budget": (
        ["memory_gb=1e-6", "metric.names=[linear]", "model.units=flatten", "model.layers=[features.1]"],
        "the budget is",
    ),
    "a fold larger than the budget": (["memory_gb=1e-5", "metric.names=[cca]"], "the budget is"),
    "responses larger than the budget": (["memory_gb=1e-6", "metric.names=[rsa]"], "the budget is"),
    "a rule that does not apply to maps": (["model.units=cls"], "units=cls"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_before_any_network_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    words, said = CASES[case]
    assert cli.main([*RUN, *words, f"output={tmp_path}"]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("activations"))


# A network that notes each batch but the pilots, which are of three images at most and tell its layers.
CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, width, 3), nn.Conv2d(width, 6, 3), nn.Linear(6, 2)

    def forward(self, x):
        if len(x) > 3:
            open("passes", "a").write("x")
        return self.head(self.b(self.a(x).relu()).relu().mean((2, 3)))

class Noisy(Net):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5))

def short(x, y):
    return 0.0

def fails(x_train, y_train, x_test, y_test):
    raise ValueError("bad shapes")

def prepare(image):
    return image

number = 3
"""
AREAS = ["model@against=arrays", "against.files=[{}.npz]"]
BAD: dict[str, tuple[list[str], str]] = {
    "no such layer": (["model.layers=[conv9]"], "'conv9' matches no layer of Net"),
    "no such rule for units": (["model.units=cls"], "units=cls needs a class token"),
    "a size that it does not take": (["model.image_size=2"], "model.image_size"),
    "no such weights": (["model.checkpoints=[a.pth,none.pth]"], "none.pth does not exist"),
    "no weights by that pattern": (["model.checkpoints=[none*.pth]"], "no file looks like none*.pth"),
    "another network's weights": (["model.checkpoints=[a.pth,other.pth]"], "other.pth is not a checkpoint of Net"),
    "weights by no such key": (["model.checkpoints=[a.pth]", "model.weights_key=ema"], "model.weights_key=ema is not"),
    "one network": (["model.seeds.init=[0]"], "has nothing to be compared with"),
    "no training run": (["axis=training", "model.checkpoints=a.pth"], "is one network, not a training run"),
    "an answer that changes": (["model.factory=net.py:Noisy"], "gives another response to the same image"),
    "preprocessing to no tensor": (["model.preprocess=net.py:prepare"], "it has to give one (C, H, W)"),
    "no such metric": (["metric.names=[svcca]"], "there is no metric 'svcca'"),
    "no such function": (["metric.names=[net.py:nothing]"], "net.py has no nothing"),
    "a metric that is none": (["metric.names=[net.py:number]"], "net.py:number is no function of (x_train"),
    "a metric of two arguments": (["metric.names=[net.py:short]"], "net.py:short is called with (x_train, y_train"),
    "too few stimuli for a metric": (["metric.names=[mutual_knn]"], "mutual_knn needs at least 12 stimuli"),
    "too few stimuli for the folds": (["dataset.stimuli=3"], "3 stimuli are too few for 2 folds"),
    "more stimuli than there are": (["dataset.stimuli=50"], "has 20 images"),
    "a sweep over more": (["axis.stimuli_sweep=[50]"], "names 50 stimuli of 20"),
    "no widths that are equal": (
        [
            *("metric=permutation", "model.layers=[a]", "model@against=module", "against.factory=net.py:Net"),
            "against.layers=[b]",
        ],
        "permutation needs layers of equal width",
    ),
    "too few draws": (["null=shuffle", "null.draws=5"], "ask for 19 draws"),
    "no such shift": (["axis=ood", "dataset.conditions=[fog]"], "there is no shift fog"),
    "no such level": (["axis=ood", "dataset.levels=[99]"], "no chosen shift has the level 99"),
    "no column of paths": (["dataset.table=columns.csv"], "has no column path (it has a, b)"),
    "files that are missing": (["dataset.table=missing.csv"], "1 of 1 files are missing"),
    "other stimuli": ([AREAS[0], AREAS[1].format("others")], "none of the stimuli of recorded others"),
    "no ids": ([AREAS[0], AREAS[1].format("bare")], "recorded bare has no stimulus_ids"),
    "no such area": ([AREAS[0], AREAS[1].format("ids"), "against.layers=[IT]"], "'IT', which ids.npz does not have"),
    "recordings under shifts": (["axis=ood", AREAS[0], AREAS[1].format("ids")], "axis=ood can't take recorded"),
    "too little memory": (["memory_gb=1e-6"], "the budget is"),
    "too little room for flattened maps": (["model.units=flatten", "cache_gb=1e-7"], "units=flatten gives"),
    "a cache that can't be made": (["cache=net.py/cache"], "net.py/cache could not be written"),
    "an output that can't be made": (["output=net.py/out"], "could not be written"),
}


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the words among files of all these kinds."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(CODE)
    for i in range(20):
        picture(Path(f"images/{'ab'[i % 2]}/{i}.png"), i)
    areas = np.zeros((20, 5))
    np.savez("bare.npz", V4=areas)
    np.savez("ids.npz", V4=areas, stimulus_ids=[str(i) for i in range(20)])
    np.savez("others.npz", V4=areas, stimulus_ids=[f"none{i}" for i in range(20)])
    pd.DataFrame({"a": [1], "b": [2]}).to_csv("columns.csv", index=False)
    pd.DataFrame({"path": ["none.png"]}).to_csv("missing.csv", index=False)
    net = nn.ModuleDict({"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(4, 6, 3), "head": nn.Linear(6, 2)})
    torch.save(net.state_dict(), "a.pth")
    torch.save({"x": torch.zeros(3)}, "other.pth")
    base = ["run", "model=module", "model.factory=net.py:Net", "dataset=image_folder", "dataset.root=images"]
    return lambda *words: cli.main(
        [*base, "metric=linear", "metric.folds=2", "figures=false", "progress=false", *words]
    )


@pytest.mark.parametrize("case", BAD)
def test_no_stimuli_pass_through_a_network_before_it_is_refused(
    typed: Callable[..., int], capsys: pytest.CaptureFixture[str], case: str
) -> None:
    words, said = BAD[case]
    assert typed(*words) == 1
    assert said in capsys.readouterr().err
    assert not Path("passes").exists()
    assert not list(Path().rglob("activations"))


def test_a_metric_that_fails_is_refused_before_anything_is_extracted(
    typed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("metric.names=[net.py:fails]") == 1
    # Which pair is tried first is the plan's affair.
    assert re.search(r"metric fails on \w+ × \w+, fold 0: net.py:\d+: ValueError: bad shapes", capsys.readouterr().err)
    assert not list(Path().rglob("activations"))


def test_what_is_right_passes_through(typed: Callable[..., int]) -> None:
    assert typed() == 0
    assert Path("passes").exists()
    assert list(Path().rglob("activations"))
