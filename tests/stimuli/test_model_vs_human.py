"""The benchmark's seventeen sets, read as they lie on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.imagenet import CATEGORIES, categories
from convergence.stimuli.options import DatasetConfig, ShiftSource
from convergence.stimuli.shifts import SHIFTS
from convergence.system.errors import UserError
from tests.support.shifted_sets import (
    CHIHUAHUA,
    NAMES,
    ONE_OF_EACH,
    colour_of,
    config,
    write,
    write_imagenet,
    write_set,
)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All seventeen sets, and ImageNet."""
    place = tmp_path_factory.mktemp("benchmark")
    for name in SHIFTS:
        write_set(place / "sets", name, respelled=name in ("high-pass", "uniform-noise", "false-colour", "low-pass"))
    write_imagenet(place / "imagenet", [*ONE_OF_EACH, CHIHUAHUA])
    return place


def test_all_seventeen_sets_are_read_as_they_lie_on_disk(benchmark: Path) -> None:
    within, found = conditions(config(benchmark, ShiftSource.model_vs_human, levels="all"))
    assert {(c.name, c.level) for c in found} == {(s.name, level) for s in SHIFTS.values() for level in s.levels}
    for c in found:
        assert c.stimuli.classes == within.classes == NAMES
        assert len(c.stimuli) == len(within) == 16
        assert c.averaged == (c.level in SHIFTS[c.name].averaged)
        place = SHIFTS[c.name].levels.index(c.level)
        for i, label in enumerate(c.stimuli.labels.tolist()):
            assert colour_of(c.stimuli, i)[:2] == (label, place), c.stimuli.ids[i]
        assert sorted(c.stimuli.labels.tolist()) == list(range(16))


def test_the_levels_that_the_benchmark_leaves_out_are_left_out(benchmark: Path) -> None:
    _, found = conditions(config(benchmark, ShiftSource.model_vs_human))
    assert {(c.name, c.level) for c in found} == {(s.name, level) for s in SHIFTS.values() for level in s.averaged}
    _, some = conditions(config(benchmark, ShiftSource.model_vs_human, levels=["c01", 0.1, "True"]))
    assert [(c.name, c.level, c.averaged) for c in some] == [
        ("contrast", "c01", True),
        ("false-colour", "true", True),
        ("uniform-noise", "0.10", True),
    ]


def test_within_distribution_are_imagenets_images_of_the_sixteen_categories(benchmark: Path) -> None:
    within, _ = conditions(config(benchmark, ShiftSource.model_vs_human, conditions=["edge"]))
    for image_id, label in zip(within.ids, within.labels.tolist(), strict=True):
        assert categories()[image_id.split("/")[0]] == NAMES[label]
    assert not any(CHIHUAHUA in image_id for image_id in within.ids)
    assert within.members is not None
    assert [len(finer) for finer in within.members] == [len(places) + 1 for places in CATEGORIES.values()]


ENGLISH = ["airliner", "brown_bear", "mountain bike", "robin", "canoe", "wine bottle", "beach wagon", "tabby cat"]
ENGLISH += ["rocking chair", "wall-clock", "Golden Retriever", "Indian elephant", "typewriter_keyboard", "cleaver"]
ENGLISH += ["rotisserie", "pickup truck"]


@pytest.mark.parametrize(
    "folders",
    [NAMES, [name.title() for name in NAMES], ONE_OF_EACH, ENGLISH],
    ids=["category", "Category", "wnid", "English"],
)
def test_class_folders_are_understood_by_category_wordnet_id_or_english_name(
    benchmark: Path, tmp_path: Path, folders: list[str]
) -> None:
    for label, folder in enumerate([*folders, "toaster", "Chihuahua"]):
        write(tmp_path / "own" / "val" / folder / "a.png", label)
    options = {"name": "image_folder", "root": str(tmp_path / "own"), "conditions": ["edge"]}
    within, _ = conditions(config(benchmark, ShiftSource.model_vs_human, **options))
    assert within.classes == NAMES
    assert [colour_of(within, i)[0] for i in range(len(within))] == within.labels.tolist()
    assert sorted(within.labels.tolist()) == list(range(16))


def test_images_without_such_classes_are_no_match(benchmark: Path) -> None:
    digits = DatasetConfig("digits", shifts=ShiftSource.model_vs_human, shifts_root=str(benchmark / "sets"))
    with pytest.raises(UserError, match=r"sixteen categories, and digits has none of their classes.*dataset=imagenet"):
        conditions(digits)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("rotation/dnn/session-1/0001_rot_dnn_45_dog_1_a.png", "has the condition 45, which rotation has not: 0, 90"),
        ("rotation/dnn/session-1/0001_rot_dnn_90_cow_1_a.png", "is not named as the benchmark names its images"),
        ("rotation/dnn/session-1/IMG.png", "is not named as the benchmark names its images"),
        ("edge/cow/cow1.png", "edge/cow is no category of the benchmark's"),
    ],
)
def test_strange_files_are_named(tmp_path: Path, file: str, message: str) -> None:
    name = file.split("/")[0]
    write_set(tmp_path / "sets", name)
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    write(tmp_path / "sets" / file, 0)
    with pytest.raises(UserError, match=message) as error:
        conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=[name]))
    assert str(tmp_path / "sets" / name) in str(error.value)


def test_files_that_macos_adds_are_no_images(tmp_path: Path) -> None:
    write_set(tmp_path / "sets", "sketch")
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    (tmp_path / "sets/sketch/dnn/session-1/._0001_ske_dnn_0_dog_1_a.png").write_bytes(b"resource fork")
    (tmp_path / "sets/sketch/dnn/session-1/.DS_Store").write_bytes(b"")
    _, found = conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=["sketch"]))
    assert len(found[0].stimuli) == 16


def test_levels_that_are_not_there_are_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    write_set(tmp_path / "sets", "rotation", levels=("90",))
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    _, found = conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=["rotation"]))
    assert [c.level for c in found] == ["90"]
    assert "there are no images of rotation 180, rotation 270 on disk" in caplog.text
    with pytest.raises(UserError, match="there are no images of rotation 0 on disk"):
        conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=["rotation"], levels=["0"]))


def test_an_unpacked_set_without_images_says_what_to_do(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    for name in ("rotation", "edge"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        with pytest.raises(UserError, match=rf"{name} has no images in .*remove"):
            conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=[name]))


def test_unknown_names_and_levels_are_refused_with_what_there_is(benchmark: Path) -> None:
    for source in (ShiftSource.model_vs_human, ShiftSource.generated):
        with pytest.raises(UserError, match="there is no shift contrasts; did you mean contrast"):
            conditions(config(benchmark, source, conditions=["contrasts"]))
        with pytest.raises(
            UserError, match=r"no chosen shift has the level c7; use benchmark, all, or some of c100, c50"
        ):
            conditions(config(benchmark, source, conditions=["contrast"], levels=["c50", "c7"]))
