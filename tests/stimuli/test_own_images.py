"""``dataset=module``: images from the user's code, as stimuli, for training and under the shifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convergence.commands.main import main
from convergence.results import table as results
from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.load import load
from convergence.stimuli.options import ModuleConfig
from convergence.system.errors import UserError

CODE = """
import numpy as np, torch
from PIL import Image

def noise(i, size=16):
    return np.random.default_rng(i).integers(0, 256, (size, size, 3), dtype=np.uint8)

def pictures(count=20, size=16):
    return [(Image.fromarray(noise(i, size)), "ab"[i % 2]) for i in range(count)]

def tensors():
    return [(torch.from_numpy(noise(i)).permute(2, 0, 1).float() / 255, i % 2) for i in range(20)]

def bytes_():
    return [(torch.from_numpy(noise(i)).permute(2, 0, 1), torch.tensor(i % 2)) for i in range(20)]

def alone():
    return [Image.fromarray(noise(i)) for i in range(20)]

def rows():
    return [{"img": Image.fromarray(noise(i)), "label": "ab"[i % 2], "id": i} for i in range(20)]

def unlabelled():
    return [(Image.fromarray(noise(i)), None) for i in range(20)]

def named():
    return [(Image.fromarray(noise(i)), None, f"n{i}") for i in range(20)]

class Splits(torch.utils.data.Dataset):
    classes = ["ant", "bee"]
    def __init__(self, split):
        self.first = 0 if split == "train" else 100
    def __len__(self):
        return 40
    def __getitem__(self, i):
        return Image.fromarray(noise(self.first + i)), i % 2

def nothing():
    return []

def number():
    return 3

def fails():
    raise KeyError("labels.csv")

def words():
    return ["a", "b"]

def loud():
    return [torch.full((3, 8, 8), 7.0)]

def negative():
    return [(Image.new("L", (8, 8)), -1)]

def twice():
    return [(Image.new("L", (8, 8)), 0, "x")] * 2

def one_hot():
    return [(Image.new("L", (8, 8)), torch.eye(3)[i]) for i in range(3)]

def other_names():
    return [{"pixel_values": torch.zeros(3, 8, 8), "labels": 0}]

def sizes():
    return [Image.new("RGB", (8 + i, 9)) for i in range(3)]
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


def options(code: Path, name: str, **more: object) -> ModuleConfig:
    return ModuleConfig(factory=f"{code}:{name}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pictures", "tensors", "bytes_", "rows", "alone", "unlabelled", "named"])
def test_a_sequence_of_images_is_a_data_set(name: str, code: Path) -> None:
    images = load(options(code, name), "all")
    assert len(images) == 20
    labelled = name in ("pictures", "tensors", "bytes_", "rows")
    assert images.classes == ((("a", "b") if name in ("pictures", "rows") else ("0", "1")) if labelled else ())
    places = [int(i.removeprefix("n").rpartition("-")[2]) for i in images.ids]
    assert sorted(places) == list(range(20))
    assert images.labels.tolist() == [k % 2 if labelled else -1 for k in places]
    k = places[5]
    expected = np.random.default_rng(k).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(images.image(5), expected)
    pixels = images.pixels([5])
    assert pixels is not None
    assert torch.equal(pixels[0], torch.from_numpy(expected).permute(2, 0, 1))
    assert load(options(code, name, stimuli=7), "all").ids == images.ids[:7]


def test_a_callable_that_takes_a_split_is_asked_for_it(code: Path) -> None:
    train, test = (load(options(code, "Splits"), split) for split in ("train", "test"))
    assert train.classes == test.classes == ("ant", "bee")
    assert len(train) == len(test) == 40
    assert not set(train.ids) & set(test.ids)
    assert not np.array_equal(train.image(0), test.image(0))


def test_else_a_fifth_of_each_class_is_held_out_from_training(code: Path) -> None:
    train, test = (load(options(code, "pictures"), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (16, 4)
    assert not set(train.ids) & set(test.ids)
    assert test.labels.bincount().tolist() == [2, 2]


def test_arguments_reach_the_callable_and_content_is_what_counts(code: Path) -> None:
    first = load(options(code, "pictures"), "all")
    assert len(load(options(code, "pictures", arguments={"count": 6}), "all")) == 6
    assert load(options(code, "pictures", arguments={"size": 17}), "all").fingerprint != first.fingerprint
    code.write_text(CODE + "\n# a comment changes no image\n")
    assert load(options(code, "pictures"), "all").fingerprint == first.fingerprint


def test_images_of_several_sizes_are_taken_as_they_are(code: Path) -> None:
    images = load(options(code, "sizes"), "all")
    assert images.pixels([0]) is None
    assert sorted(images.image(i).size for i in range(3)) == [(8, 9), (9, 9), (10, 9)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "gives no images"),
        ("number", "returns int: return a sequence"),
        ("fails", "mine.py:45: KeyError"),
        ("words", "image 0 cannot be used (it is a str)"),
        ("loud", "its floats go from 7 to 7"),
        ("negative", "number the classes from 0 on"),
        ("twice", "two images the id x"),
        ("missing", "has no missing"),
        ("one_hot", "gives a label of type Tensor: a label is a number, a text or None"),
        ("other_names", "an item of pixel_values, labels has no image"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_sentence(name: str, message: str, code: Path) -> None:
    with pytest.raises(UserError) as refused:
        load(options(code, name), "all")
    assert message in str(refused.value)


def test_own_images_are_shifted_at_their_size(code: Path) -> None:
    within, found = conditions(options(code, "alone", conditions=["contrast", "cue-conflict"]))
    assert {c.name for c in found} == {"contrast", "cue-conflict"}, "without labels any texture conflicts"
    pixels = found[0].stimuli.pixels([0])
    assert pixels is not None
    assert pixels.shape == (1, 3, 16, 16)
    assert found[0].stimuli.ids == within.ids


def test_networks_are_trained_on_own_images_and_compared_on_those_held_out(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["dataset=module", "dataset.factory=mine.py:Splits", "metric=procrustes", "metric.folds=2"]
    words += ["model=tiny_vgg", "model.training.epochs=1", "figures=false", "axis=ood", "dataset.conditions=[contrast]"]
    assert main(["run", *words, "dataset.levels=[c30]", "device=cpu"]) in (0, None), capsys.readouterr().err
    table = results.read([next(tmp_path.glob("outputs/ood/*/results.parquet"))])
    assert set(table.condition) == {"wd", "contrast"}
    assert table.source_accuracy.notna().all()
    assert (table.n_train + table.n_test == 40).all()


def test_a_picture_of_another_mode_is_read_as_meant(code: Path) -> None:
    code.write_text("from PIL import Image\ndef clear():\n    return [Image.new('RGBA', (8, 8), (9, 9, 9, 0))]\n")
    assert load(options(code, "clear"), "all").image(0).getpixel((0, 0)) == (128, 128, 128)
    other = load(options(code, "clear", background=[1, 2, 3]), "all")
    assert other.image(0).getpixel((0, 0)) == (1, 2, 3)
    assert isinstance(other.image(0), Image.Image)
