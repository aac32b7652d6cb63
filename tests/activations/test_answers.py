"""Answers are read by name: as the benchmark reads its sixteen, and as ImageNet's relatives read their two hundred."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor, nn

from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.activations.readout import AnswerReader
from convergence.models.network import Network, describe
from convergence.models.preprocess import PixelPreprocess
from convergence.stimuli.base import ArrayStimuli
from convergence.stimuli.imagenet import CATEGORIES, categories, class_order

COUNTS = {
    **{"airplane": 1, "bear": 4, "bicycle": 2, "bird": 49, "boat": 5, "bottle": 7, "car": 3, "cat": 6, "chair": 4},
    **{"clock": 3, "dog": 109, "elephant": 2, "keyboard": 2, "knife": 1, "oven": 1, "truck": 8},
}


def stimuli(classes: tuple[str, ...], members: tuple[tuple[str, ...], ...] | None = None) -> ArrayStimuli:
    labels = torch.zeros(1, dtype=torch.int64)
    return ArrayStimuli("x", classes, ("a",), labels, "f", members=members, array=torch.zeros(1, 3, 8, 8).byte())


def sixteen() -> ArrayStimuli:
    members = tuple(tuple(w for w, c in categories().items() if c == name) for name in CATEGORIES)
    return stimuli(tuple(CATEGORIES), members)


def logits(n: int, width: int, scale: float = 3.0) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0)) * scale


def test_the_sixteen_categories_have_the_benchmarks_numbers_of_classes() -> None:
    assert {name: len(places) for name, places in CATEGORIES.items()} == COUNTS
    assert len(categories()) == 207, "no class has two categories"
    assert list(class_order()) == sorted(set(class_order()))
    assert len(class_order()) == 1000


@pytest.mark.parametrize(
    ("wnid", "category"),
    [
        *[("n02690373", "airplane"), ("n02132136", "bear"), ("n01530575", "bird"), ("n02123045", "cat")],
        *[("n02106662", "dog"), ("n03041632", "knife"), ("n04461696", "truck"), ("n04111531", "oven")],
        *[("n01514668", None), ("n02085620", None), ("n02110341", None), ("n01847000", None)],  # cock … drake
    ],
)
def test_classes_belong_to_the_category_that_wordnet_says(wnid: str, category: str | None) -> None:
    assert categories().get(wnid) == category


def test_a_thousand_outputs_are_answered_as_the_benchmark_does() -> None:
    outputs = logits(200, 1000)
    probabilities = softmax(outputs.double().numpy(), axis=1)
    expected = np.stack([probabilities[:, places].mean(1) for places in CATEGORIES.values()], 1).argmax(1)
    answers = AnswerReader(sixteen()).read(outputs)
    assert answers is not None
    assert answers.tolist() == expected.tolist()
    assert len(set(expected.tolist())) > 8


def test_probabilities_too_small_for_a_float_are_still_compared() -> None:
    outputs = torch.zeros(1, 1000)
    outputs[0, 0] = 1e4  # a fish, and no category
    outputs[0, CATEGORIES["oven"]] = 5.0
    answers = AnswerReader(sixteen()).read(outputs)
    assert answers is not None
    assert answers.tolist() == [list(CATEGORIES).index("oven")]


def test_of_a_thousand_outputs_those_of_two_hundred_classes_are_asked() -> None:
    places = sorted(np.random.default_rng(0).permutation(1000)[:200].tolist())
    outputs = logits(100, 1000)
    answers = AnswerReader(stimuli(tuple(class_order()[i] for i in places))).read(outputs)
    assert answers is not None
    assert answers.tolist() == outputs[:, places].argmax(1).tolist()


def test_as_many_outputs_as_classes_are_these() -> None:
    outputs = logits(50, 16)
    for images in (sixteen(), stimuli(tuple("abcdefghijklmnop"))):
        answers = AnswerReader(images).read(outputs)
        assert answers is not None
        assert answers.tolist() == outputs.argmax(1).tolist()


def test_outputs_are_told_apart_by_name_where_they_have_one() -> None:
    outputs = logits(50, 4)
    answers = AnswerReader(stimuli(("b", "c")), ("a", "b", "c", "d")).read(outputs)
    assert answers is not None
    assert answers.tolist() == outputs[:, 1:3].argmax(1).tolist()
    turned = AnswerReader(stimuli(("d", "a")), ("a", "b", "c", "d")).read(outputs)
    assert turned is not None
    assert turned.tolist() == outputs[:, [3, 0]].argmax(1).tolist()


NAMES_OF_SIXTEEN = {
    "as the sets name them": ("airplane", "bear", "bicycle"),
    "with capitals": ("Airplane", "Bear", "Bicycle"),
    "finer classes in English": ("airliner", "brown bear", "mountain bike"),
    "WordNet ids": ("n02690373", "n02132136", "n03792782"),
}


@pytest.mark.parametrize("spelling", NAMES_OF_SIXTEEN)
@pytest.mark.parametrize("named_twice", [False, True], ids=["shifted", "within"])
def test_a_network_trained_on_folders_answers_in_the_benchmarks_categories(spelling: str, named_twice: bool) -> None:
    """Within distribution a category is also one of its own members."""
    chosen = ("airplane", "bear", "bicycle")
    finer = [tuple(w for w, c in categories().items() if c == name) for name in chosen]
    members = tuple((*known, name) if named_twice else known for known, name in zip(finer, chosen, strict=True))
    outputs = logits(50, 4)
    trained_on = ("crane", *NAMES_OF_SIXTEEN[spelling])
    answers = AnswerReader(stimuli(chosen, members), trained_on).read(outputs)
    assert answers is not None
    assert answers.tolist() == outputs[:, 1:].argmax(1).tolist()
    others = AnswerReader(stimuli(chosen, members), (*trained_on[:3], "unicycle"))
    assert others.read(outputs) is None, "no output speaks for bicycles"


@pytest.mark.parametrize(
    ("classes", "outputs", "width"),
    [(("a", "b"), None, 3), (("a", "b"), None, 1000), (("a", "b"), ("a", "c"), 2), (("a", "b"), ("a", "b"), 3)],
)
def test_outputs_that_are_not_understood_give_no_answers(
    classes: tuple[str, ...], outputs: tuple[str, ...] | None, width: int
) -> None:
    assert AnswerReader(stimuli(classes), outputs).read(logits(2, width)) is None


class Pointing(nn.Module):
    """A thousand outputs, the largest of which is where the image's first pixel says."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        place = (x[:, 0, 0, 0] * 255).round().long() * 4
        return 40 * nn.functional.one_hot(place, 1000).float() + 0.0 * self.conv(x).mean((1, 2, 3))[:, None]


def test_accuracy_in_sixteen_classes_comes_from_the_pass_that_takes_the_responses(tmp_path: Path) -> None:
    images = sixteen()
    pixels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    pixels[:, 0] = torch.tensor([101, 40, 40, 111])[:, None, None]  # classes 404, 160, 160, 444: airplane, dog, bicycle
    labels = torch.tensor([list(CATEGORIES).index(name) for name in ("airplane", "dog", "cat", "bicycle")])
    images = replace(images, ids=tuple("abcd"), labels=labels, array=pixels)
    layers, units = describe(Pointing(), torch.zeros(1, 3, 8, 8), ["conv"], None, "pointing")
    net = Network(
        "pointing",
        "w",
        None,
        None,
        None,
        "hash",
        layers,
        units,
        PixelPreprocess(None, mean=(0.0,) * 3, std=(1.0,) * 3),
        None,
        Pointing,
    )
    loader = Loader(net.preprocess, images, tmp_path, 3, 0, torch.device("cpu"))
    assert extract(net, loader).accuracy == 0.75
    other = replace(images, classes=tuple("abcdefghijklmnop"), members=None, fingerprint="g")
    assert extract(net, replace(loader, stimuli=other)).accuracy is None


WIDE = logits(50, 1000)
UNDERSTOOD = {
    "WordNet ids": ("n01440764", "n02123045", "n03792782"),
    "names": ("tench", "tabby", "mountain bike"),
    "names with underscores and capitals": ("Tench", "TABBY", "Mountain_Bike"),
    "names with hyphens": ("tench", "tabby-cat", "mountain-bike"),
    "synonyms": ("Tinca tinca", "tabby cat", "off-roader"),
}
UNSURE = {
    "classes of another data set": ("airplane", "bird", "cat"),
    "a name that two classes share": ("tench", "crane", "tabby"),
    "two names of one class": ("tench", "Tinca tinca", "tabby"),
    "numbers that may be anything": ("0", "1", "2"),
    "a thousand unknown names": tuple(f"person {i}" for i in range(1000)),
    "no labels": (),
    "one class": ("tench",),
}


@pytest.mark.parametrize("spelling", UNDERSTOOD)
def test_classes_of_imagenet_are_found_by_id_or_name(spelling: str) -> None:
    answers = AnswerReader(stimuli(UNDERSTOOD[spelling])).read(WIDE)
    assert answers is not None
    assert answers.tolist() == WIDE[:, [0, 281, 671]].argmax(1).tolist()


def test_a_crane_beside_the_crane_bird_is_the_machine() -> None:
    answers = AnswerReader(stimuli(("crane", "crane bird"))).read(WIDE)
    assert answers is not None
    assert answers.tolist() == WIDE[:, [517, 134]].argmax(1).tolist()


@pytest.mark.parametrize("why", UNSURE)
def test_where_outputs_are_not_known_for_certain_accuracy_is_empty_and_it_is_said_once(
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (why, why, f"{why}/contrast/c30"):
        assert AnswerReader(replace(stimuli(UNSURE[why]), name=name)).read(WIDE) is None
    said = [record.message for record in caplog.records if f"accuracy on {why}" in record.message]
    assert len(said) == 1
