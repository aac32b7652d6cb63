"""A network that answers the same image in two ways is refused before anything is made of its answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from convergence import extract
from convergence.commands.main import main
from convergence.models.network import describe
from convergence.system.errors import UserError

IMAGES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A convolution, what the test puts after it, and a head."""

    def __init__(self, middle: nn.Module, training: bool = False, seeded: bool = False) -> None:
        super().__init__()
        self.conv, self.middle, self.head = nn.Conv2d(3, 6, 3), middle, nn.Linear(6, 4)
        self._training, self._seeded = training, seeded

    def forward(self, x: Tensor) -> Tensor:
        if self._training:
            self.train()
        if self._seeded:
            torch.manual_seed(0)
        return self.head(self.middle(self.conv(x)).mean((2, 3)))


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


UNSTEADY: dict[str, Callable[[], nn.Module]] = {
    "dropout in training": lambda: Net(nn.Dropout(0.1), training=True),
    "dropout that is seeded in training": lambda: Net(nn.Dropout(0.5), training=True, seeded=True),
    "batch norm in training": lambda: Net(nn.BatchNorm2d(6), training=True),
    "batch norm without running statistics": lambda: Net(nn.BatchNorm2d(6, track_running_stats=False)),
    "functional dropout": lambda: Net(Calls(lambda x: functional.dropout(x, 0.1))),
    "noise": lambda: Net(Calls(lambda x: x + 0.05 * torch.randn_like(x))),
    "what looks at its neighbour": lambda: Net(Calls(lambda x: x - x.mean(0, keepdim=True))),
}
STEADY: dict[str, Callable[[], nn.Module]] = {
    "dropout and batch norm": lambda: Net(nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(6))),
    "instance norm": lambda: Net(nn.InstanceNorm2d(6)),
    "all dead": lambda: Net(Calls(lambda x: 0 * x)),
}


@pytest.mark.parametrize("kind", UNSTEADY)
def test_a_network_whose_answer_to_an_image_changes_is_refused_with_the_layer(kind: str) -> None:
    net = UNSTEADY[kind]()
    sentence = "layer 'head' of Net gives another response to the same image when it is asked again"
    with pytest.raises(UserError, match=sentence):
        extract(net, IMAGES, device="cpu")
    assert list(extract(net, IMAGES, layers="conv", device="cpu")) == ["conv"], "what comes before it is steady"


@pytest.mark.parametrize("kind", STEADY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_no_change(kind: str, dtype: torch.dtype) -> None:
    assert describe(STEADY[kind]().to(dtype), torch.zeros(1, 3, 8, 8, dtype=dtype), None, None, "net")[0]


CODE = """
import torch
from torch import nn
from torchvision import transforms

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        open("passes", "a").write("x")
        return self.head(self.conv(x).mean((2, 3)))

class Trains(Net):
    def forward(self, x):
        self.train()
        return nn.functional.dropout(super().forward(x), 0.5, self.training)

class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.last = Trains(), nn.Linear(3, 2)

    def forward(self, x):
        return self.last(self.inner(x))

def pictures():
    from PIL import Image
    import numpy as np
    return [Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)) for i in range(20)]

class Flipped(torch.utils.data.Dataset):
    def __len__(self):
        return 20
    def __getitem__(self, i):
        return transforms.RandomHorizontalFlip()(pictures()[i]), None

crop = transforms.Compose([transforms.RandomCrop(8), transforms.ToTensor()])
steady = transforms.Compose([transforms.CenterCrop(8), transforms.ToTensor()])
"""
STEPS = "model.factory={0}:Net", "dataset=module", "dataset.factory={0}:pictures", "model.preprocess={0}:steady"
CHANGES = {
    "a network": ("model.factory={0}:Outer", "layer 'last' of Outer gives another response"),
    "a data set": ("dataset.factory={0}:Flipped", "is another picture each time it is read"),
    "preprocessing": ("model.preprocess={0}:crop", "mine.py:crop makes another input of the same image each time"),
}


@pytest.mark.parametrize("kind", ["nothing", *CHANGES])
def test_what_changes_by_itself_is_refused_before_it_is_extracted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    words = ["run", "model=module", *STEPS, "metric=linear", "figures=false", "progress=false", "output=out"]
    word, sentence = CHANGES.get(kind, ("", ""))
    given = [text.format("mine.py") for text in (*words, *filter(None, [word]))]
    assert main(given) == bool(sentence)
    assert sentence in capsys.readouterr().err
    assert bool(list(tmp_path.rglob("activations"))) == (not sentence)
