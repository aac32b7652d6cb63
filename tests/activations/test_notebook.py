"""``extract``: any module, any iterable of images, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from convergence import align, extract


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )


BYTES = torch.randint(0, 256, (23, 3, 8, 10), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
FLOATS = BYTES.float() / 255
ROWS = [image.permute(1, 2, 0).numpy() for image in BYTES]

FORMS: dict[str, Callable[[], Any]] = {
    "one tensor": lambda: FLOATS,
    "one array, channels last": lambda: BYTES.permute(0, 2, 3, 1).numpy(),
    "list of tensors": lambda: list(FLOATS),
    "generator of bytes": lambda: (image for image in BYTES),
    "arrays (H, W, C)": lambda: ROWS,
    "arrays (C, H, W)": lambda: list(FLOATS.numpy()),
    "PIL": lambda: [Image.fromarray(row) for row in ROWS],
    "PIL with labels": lambda: [(Image.fromarray(row), 3) for row in ROWS],
    "data set of pairs": lambda: TensorDataset(FLOATS, torch.arange(23)),
    "loader of pairs": lambda: DataLoader(TensorDataset(FLOATS, torch.arange(23)), batch_size=5),
    "loader of images": lambda: DataLoader(list(FLOATS), batch_size=7),  # type: ignore[arg-type]
    "mappings": lambda: [{"label": 1, "image": image} for image in FLOATS],
    "uneven batches": lambda: [FLOATS[:1], FLOATS[1:20], FLOATS[20:]],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_images_gives_the_same_units_in_order(form: str) -> None:
    net = module().eval()
    found = extract(net, FORMS[form](), batch_size=4, device="cpu")
    with torch.inference_mode():
        maps, logits = net[0](FLOATS), net(FLOATS)
    assert list(found) == ["0", "5"]
    assert np.allclose(found["0"], maps[..., 3, 4], atol=1e-5)
    assert np.allclose(found["5"], logits, atol=1e-5)


def test_what_it_returns_goes_into_align_as_it_is() -> None:
    x, y = (extract(net, FLOATS, device="cpu") for net in (module(), nn.Sequential(nn.Flatten(), nn.Linear(240, 5))))
    assert set(align(x, y, metrics=["procrustes"], folds=2).layer_y) == {"1"}


@pytest.mark.parametrize("batch_size", [1, 2, 22, 100, "auto"])
def test_numbers_do_not_depend_on_the_batch_size(batch_size: Any) -> None:
    expected, found = (extract(module(), FLOATS, batch_size=size, device="cpu") for size in (23, batch_size))
    for layer, values in expected.items():
        assert np.abs(found[layer] - values).max() <= 1e-5 * np.abs(values).max()


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_comes_back_as_it_was(fails: bool) -> None:
    net = module().train()
    net[1].eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    images = [FLOATS[0], FLOATS[1, :, :5]] if fails else FLOATS
    if fails:
        with pytest.raises(ValueError, match="image 1 is 3 × 5 × 10 and those before it are 3 × 8 × 10"):
            extract(net, images, device="cpu")
    else:
        extract(net, images, device="cpu")
    assert [part.training for part in net] == [True, False, True, True, True, True]
    assert net.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_layers_and_units_are_chosen_by_name() -> None:
    assert extract(module(), FLOATS, layers="2", units="flatten", device="cpu")["2"].shape == (23, 6 * 6 * 8)
    assert extract(module(), FLOATS, layers=["0", "[12]"], units="samples", device="cpu")["1"].shape == (23, 48, 6)


class Big(nn.Module):
    """Has room for three images at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        out = self.conv(x)
        if len(x) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return out


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    net = Big()
    found = extract(net, FLOATS, batch_size=16, device="cpu")["conv"]
    with torch.inference_mode():
        assert np.allclose(found, net.conv(FLOATS)[..., 4, 5], atol=1e-5)
    assert net.sizes[2:5] == [16, 8, 4]  # after the two that look the layers up
    assert max(net.sizes[5:]) <= 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"images": []}, "no images"),
        ({"images": 3}, "images is a int: give a DataLoader"),
        ({"images": ["a.png"]}, "image 0 is a str: give PIL images"),
        ({"units": "centre"}, "units='centre' is not known: choose from center"),
        ({"batch_size": 0}, "batch_size=0 is not known"),
        ({"layers": ["conv"]}, "'conv' matches no layer of Sequential: the nearest are"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        extract(module(), **{"images": FLOATS, "device": "cpu"} | arguments)


def test_a_single_image_that_does_not_fit_is_said() -> None:
    class Full(Big):
        def forward(self, x: Tensor) -> Tensor:
            if len(self.sizes) > 1:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return super().forward(x)

    with pytest.raises(ValueError, match="a single image does not fit through Full on cpu"):
        extract(Full(), FLOATS, device="cpu")


class Noisy(Dataset):  # type: ignore[type-arg]
    """Another picture each time."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, i: int) -> Tensor:
        return FLOATS[i] + 0.1 * torch.rand(3, 8, 10)


@pytest.mark.parametrize("form", [Noisy, lambda: DataLoader(Noisy(), 4), lambda: DataLoader(Noisy(), 4, shuffle=True)])
def test_a_data_set_that_gives_other_pictures_each_time_is_refused(form: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="image 0 is another picture each time it is read"):
        extract(module(), form(), device="cpu")


def test_a_loader_that_shuffles_is_warned_of(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.system.notes.said", set())
    for shuffle in (False, True):
        extract(module(), DataLoader(TensorDataset(FLOATS), 4, shuffle=shuffle), device="cpu")
        assert ("give shuffle=False" in caplog.text) == shuffle
