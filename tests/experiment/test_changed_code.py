"""Code of the user's own that has changed since a run is run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from tests.support.folders import SCORES

CODE = """
import torch
from torch import nn
from PIL import Image
import numpy as np

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, x):
        return self.conv(x * GAIN + x ** 2).mean((2, 3))

def images():
    return [(Image.fromarray(np.random.default_rng(FIRST + i).integers(0, 256, (32, 32, 3), dtype=np.uint8)), i % 2)
            for i in range(40)]
"""


@pytest.mark.parametrize(("changed", "kind"), [("GAIN = 3", "other networks"), ("FIRST = 100", "other images")])
def test_code_of_the_users_own_that_has_changed_is_run_again(
    changed: str, kind: str, tmp_path: Path, said: Callable[[], str]
) -> None:
    nets, data = tmp_path / "nets.py", tmp_path / "data.py"
    nets.write_text("GAIN = 1\nFIRST = 0\n" + CODE)
    data.write_text(nets.read_text())
    network = ("model=module", f"model.factory={nets}:Net", "model.image_size=32", "model.layers=[conv]")
    code = ("dataset=module", f"dataset.factory={data}:images", "dataset.stimuli=20", "model.seeds.init=[0,1]")
    made = compose([*network, *code, *SCORES, f"output={tmp_path / 'out'}"])
    first = experiment.run(made)
    assert experiment.run(made).equals(first)
    assert "nothing to do" in said()
    path = nets if "GAIN" in changed else data
    path.write_text(path.read_text().replace(f"{changed.split()[0]} = {'1' if 'GAIN' in changed else '0'}", changed))
    second = experiment.run(made)
    assert kind in (text := said())
    assert "they are computed again" in text
    assert not np.allclose(first.score, second.score)


@pytest.mark.parametrize("spelt", ["mine_of_{}.py:half", "mine_of_{}:half"], ids=["a file's", "a module's"])
def test_a_metric_whose_code_has_changed_is_scored_again(
    spelt: str, tmp_path: Path, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = tmp_path.name
    path = tmp_path / f"mine_of_{name}.py"
    path.write_text("def half(x_train, y_train, x_test, y_test):\n    return 0.5\n")
    for i, file in enumerate(("one.npz", "two.npz")):
        np.savez(file, area=np.random.default_rng(i).normal(size=(60, 4)))
    recorded = ["model=arrays", "model.files=[one.npz,two.npz]", f"metric.names=[{spelt.format(name)}]"]
    made = compose([*recorded, "output=out"])
    experiment.run(made)
    experiment.run(made)
    assert "nothing to do" in said()
    path.write_text(path.read_text().replace("0.5", "0.25"))
    experiment.run(made)
    assert "were made from other code of yours: they are computed again." in said()


LEAVING = """
handlers = {"__name__": "submitit.core.job_environment"}
exec("import sys\\ndef leave():\\n    sys.exit(-1)", handlers)
leave = handlers["leave"]

from torch import nn

class Net(nn.Module):
    def forward(self, x):
        leave()

def score(x_train, y_train, x_test, y_test):
    leave()
"""
NETWORK = ["model=module", "model.image_size=32", "dataset=digits", "dataset.stimuli=20", "model.seeds.init=[0,1]"]
WHERE = {
    "in a file that is loaded": [*NETWORK, "model.factory=top.py:Net"],
    "in a factory": [*NETWORK, "model.factory=leaving.py:leave"],
    "in a forward pass": [*NETWORK, "model.factory=leaving.py:Net"],
    "in a data set": ["dataset=module", "dataset.factory=leaving.py:leave"],
    "in a metric": ["model=arrays", "model.files=[one.npz,two.npz]", "metric.names=[leaving.py:score]"],
}


@pytest.mark.parametrize("where", WHERE)
def test_a_clusters_signal_ends_the_job_wherever_it_comes_and_is_no_failure_of_the_code(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("leaving.py").write_text(LEAVING)
    Path("top.py").write_text(f"{LEAVING}\nleave()\n")
    for i, file in enumerate(("one.npz", "two.npz")):
        np.savez(file, area=np.random.default_rng(i).normal(size=(60, 4)))
    with pytest.raises(SystemExit) as left:
        experiment.run(compose([*WHERE[where], "output=out"]))
    assert left.value.code == -1
