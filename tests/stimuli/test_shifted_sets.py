"""Shifted sets that lie on disk, read as they lie there, and made alike with the images within distribution."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import logging
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convergence.stimuli import fetch
from convergence.stimuli.base import ArrayStimuli, Stimuli
from convergence.stimuli.conditions import conditions as module
from convergence.stimuli.conditions import model_vs_human
from convergence.stimuli.conditions.conditions import Condition, conditions
from convergence.stimuli.imagenet import CATEGORIES, categories, class_order
from convergence.stimuli.options import DatasetConfig, FilesConfig, OnError, ShiftSource
from convergence.stimuli.shifts import SHIFTS, Graded
from convergence.system.errors import UserError

NAMES = tuple(CATEGORIES)
CODES = {
    **{"colour": "cl", "contrast": "cop", "high-pass": "hp", "low-pass": "lp", "phase-scrambling": "ps"},
    **{"power-equalisation": "pow", "false-colour": "fc", "rotation": "rot", "uniform-noise": "nse"},
    **{"eidolonI": "eid", "eidolonII": "eid", "eidolonIII": "eid", "sketch": "ske", "stylized": "sty"},
}
# Ids of photographs as they end the benchmark's file names.
IDS = ("n02106662_13-4", "10_b-c_d.e", "00000-000000012345", "_-_")
OTHER_SPELLINGS = {"3": "3.0", "1": "1.0", "0.10": "0.1", "true": "True", "false": "False", "0.00": "0.0"}


def png(*colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (*colour, 0, 0)[:3]).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, *colour: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(*colour))


def colour_of(images: Stimuli, i: int) -> tuple[int, ...]:
    pixel = images.image(i).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return tuple(map(int, pixel))


def write_set(root: Path, name: str, *, respelled: bool = False, levels: tuple[str, ...] | None = None) -> None:
    """A set in the benchmark's layout; a red channel of its category, green of its level, blue of its texture."""
    number = 0
    for label, category in enumerate(NAMES):
        if name in ("edge", "silhouette"):
            write(root / name / category / f"{category}4.png", label)
        elif name == "cue-conflict":
            texture = (label + 3) % len(NAMES)
            write(root / name / category / f"{category}1-{NAMES[texture]}2.png", label, 0, texture)
        else:
            for place, level in enumerate(SHIFTS[name].levels):
                if levels is not None and level not in levels:
                    continue
                token = OTHER_SPELLINGS.get(level, level) if respelled else level
                number += 1
                file = f"{number:04d}_{CODES[name]}_dnn_{token}_{category}_{number % 7}_{IDS[number % len(IDS)]}.png"
                write(root / name / "dnn" / "session-1" / file, label, place)


def write_imagenet(root: Path, wnids: list[str], each: int = 2) -> None:
    for wnid in wnids:
        for i in range(each):
            write(root / "val" / wnid / f"ILSVRC2012_val_{wnid[-4:]}{i:04d}.png", class_order().index(wnid) % 256, i)


ONE_OF_EACH = [class_order()[places[0]] for places in CATEGORIES.values()]
CHIHUAHUA = "n02085620"


def config(tmp_path: Path, source: ShiftSource, **options: object) -> FilesConfig:
    given = {"name": "imagenet", "root": str(tmp_path / "imagenet"), "shifts_root": str(tmp_path / "sets")}
    return FilesConfig(**{**given, "download": False, "stimuli": None, "shifts": source, **options})  # type: ignore[arg-type]


def by_name(found: list[Condition]) -> dict[tuple[str, str], Condition]:
    return {(c.name, c.level): c for c in found}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All seventeen sets, and ImageNet."""
    place = tmp_path_factory.mktemp("benchmark")
    for name in SHIFTS:
        write_set(place / "sets", name, respelled=name in ("high-pass", "uniform-noise", "false-colour", "low-pass"))
    write_imagenet(place / "imagenet", [*ONE_OF_EACH, CHIHUAHUA])
    return place


# ---------------------------------------------------------------- the benchmark's own


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


# ---------------------------------------------------------------- which and how many


def test_all_are_as_many_as_the_smallest_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    caplog.set_level(logging.INFO, "convergence")
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH, each=5)
    for level, each in (("1", 4), ("2", 3)):
        for wnid in ONE_OF_EACH[:6]:
            for i in range(each):
                write(tmp_path / "sets" / "fog" / level / wnid / f"other{i}.png", i)
    within, found = conditions(config(tmp_path, ShiftSource.imagenet_c, stimuli=50))
    assert [len(within), *(len(c.stimuli) for c in found)] == [18, 18, 18]
    assert ["18 stimuli" in r.getMessage() and "imagenet_c/fog/2 has no more" in r.getMessage() for r in caplog.records]
    assert len(caplog.records) == 1
    caplog.clear()
    fewer, found = conditions(config(tmp_path, ShiftSource.imagenet_c, stimuli=12))
    assert fewer.ids == within.ids[:12], "a larger number keeps the smaller's"
    assert [c.stimuli.labels.bincount().tolist() for c in found] == [[2] * 6] * 2, "balanced"
    assert fewer.labels.bincount().tolist() == [2] * 6
    assert not caplog.records


def test_unknown_names_and_levels_are_refused_with_what_there_is(benchmark: Path) -> None:
    for source in (ShiftSource.model_vs_human, ShiftSource.generated):
        with pytest.raises(UserError, match="there is no shift contrasts; did you mean contrast"):
            conditions(config(benchmark, source, conditions=["contrasts"]))
        with pytest.raises(
            UserError, match=r"no chosen shift has the level c7; use benchmark, all, or some of c100, c50"
        ):
            conditions(config(benchmark, source, conditions=["contrast"], levels=["c50", "c7"]))


def test_a_contrast_is_never_taken_for_an_angle() -> None:
    def meant(tokens: list[object]) -> list[tuple[str, str]]:
        offered = DatasetConfig("digits", levels=tokens)
        return [(shift.name, level) for shift, level, _ in module.chosen(offered, SHIFTS.values())]

    assert meant(["c30"]) == [("contrast", "c30")]
    assert meant([30]) == [("phase-scrambling", "30")]
    assert meant(["c5", "INF"]) == [("contrast", "c05"), ("high-pass", "inf")]
    assert Graded("x", ("1", "2"), ("1",)).meant("2.0") == "2"


def test_generated_shifts_are_paired_with_what_they_are_made_of() -> None:
    within, found = conditions(DatasetConfig("digits", stimuli=20, levels="all"))
    assert len(found) == sum(len(shift.levels) for shift in SHIFTS.values())
    assert all(c.stimuli.ids == within.ids for c in found)
    assert {c.name for c in found if c.level == "analogue"} == {s.name for s in SHIFTS.values() if s.analogue}
    unchanged = by_name(found)["colour", "cr"].stimuli.pixels(range(20))
    assert unchanged is not None
    assert torch.equal(unchanged, within.pixels(range(20)))  # type: ignore[arg-type]


def test_broken_images_are_named_or_skipped_in_all_that_are_paired(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH[:3], each=4)
    for level in ("1", "2"):
        for path in (tmp_path / "imagenet/val").rglob("*.png"):
            write(tmp_path / "sets/fog" / level / path.parent.name / path.name, 1)
    broken = sorted((tmp_path / "sets/fog/2").rglob("*.png"))[5]
    broken.write_bytes(b"no image")
    with pytest.raises(UserError, match=rf"{broken.name} cannot be read as an image"):
        conditions(config(tmp_path, ShiftSource.imagenet_c))
    within, found = conditions(config(tmp_path, ShiftSource.imagenet_c, on_error=OnError.skip))
    assert [len(within), *(len(c.stimuli) for c in found)] == [11, 11, 11]
    assert all(c.stimuli.ids == within.ids for c in found)
    assert not any(broken.name in image_id for image_id in within.ids)
    assert within.skipped == 1


def test_fingerprints_follow_content(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    write_set(tmp_path / "sets", "edge")
    options = config(tmp_path, ShiftSource.model_vs_human, conditions=["edge"])
    first = conditions(options)[1][0].stimuli.fingerprint
    assert conditions(options)[1][0].stimuli.fingerprint == first
    write(tmp_path / "sets/edge/bear/bear4.png", 200)
    assert conditions(options)[1][0].stimuli.fingerprint != first


# ---------------------------------------------------------------- other sets


def test_imagenet_c_is_paired_with_imagenet(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH[:4], each=3)
    for corruption in ("fog", "gaussian_noise"):
        for level in "12345":
            for path in (tmp_path / "imagenet/val").rglob("*.png"):
                target = tmp_path / "sets" / corruption / level / path.parent.name / f"{path.stem}.JPEG"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(png(int(level)))
    within, found = conditions(config(tmp_path, ShiftSource.imagenet_c, stimuli=7))
    assert [(c.name, c.level) for c in found] == [(n, level) for n in ("fog", "gaussian_noise") for level in "12345"]
    for c in found:
        assert c.averaged
        assert [i.rsplit(".", 1)[0] for i in c.stimuli.ids] == [i.rsplit(".", 1)[0] for i in within.ids]
        assert torch.equal(c.stimuli.labels, within.labels)
        assert colour_of(c.stimuli, 0)[0] > int(c.level) - 2
    _, some = conditions(config(tmp_path, ShiftSource.imagenet_c, levels=[1, 5], conditions=["fog"]))
    assert [(c.name, c.level) for c in some] == [("fog", "1"), ("fog", "5")]


@pytest.mark.parametrize("source", [ShiftSource.imagenet_r, ShiftSource.imagenet_a, ShiftSource.imagenet_sketch])
def test_imagenets_relatives_restrict_both_sides_to_their_classes(tmp_path: Path, source: ShiftSource) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    mine = [*ONE_OF_EACH[3:9], CHIHUAHUA]  # one that ImageNet, as it lies here, lacks
    for wnid in mine:
        write(tmp_path / "sets" / wnid / "art_0.jpg", class_order().index(wnid) % 256)
    within, found = conditions(config(tmp_path, source))
    (c,) = found
    assert (c.name, c.level, c.averaged) == (source.value.replace("_", "-"), "0", True)
    assert within.classes == c.stimuli.classes == tuple(sorted(ONE_OF_EACH[3:9]))
    for images in (within, c.stimuli):
        assert [i.split("/")[0] for i in images.ids] == [images.classes[label] for label in images.labels.tolist()]


def test_imagenet_v2_numbers_its_classes_as_integers(tmp_path: Path) -> None:
    numbers = (2, 10, 100, 999)
    write_imagenet(tmp_path / "imagenet", [class_order()[i] for i in numbers])
    for number in numbers:
        write(tmp_path / "sets" / str(number) / "a.jpeg", number % 256)
    _, (c,) = conditions(config(tmp_path, ShiftSource.imagenet_v2))
    for i, label in enumerate(c.stimuli.labels.tolist()):
        assert class_order().index(c.stimuli.classes[label]) == int(c.stimuli.ids[i].split("/")[0])
    write(tmp_path / "sets" / "1000" / "a.jpeg", 0)
    with pytest.raises(UserError, match="1000 is no class of ImageNetV2"):
        conditions(config(tmp_path, ShiftSource.imagenet_v2))


def test_any_folder_is_a_shift_of_a_data_set_with_its_classes(tmp_path: Path) -> None:
    for digit in "379":
        for i in range(3):
            write(tmp_path / "drawn" / digit / f"{i}.png", int(digit))
    options = {"shifts": ShiftSource.image_folder, "shifts_root": str(tmp_path / "drawn")}
    within, (c,) = conditions(DatasetConfig("digits", **options))  # type: ignore[arg-type]
    assert (c.name, c.level, len(c.stimuli), len(within)) == ("drawn", "0", 9, 9)
    assert within.classes == c.stimuli.classes == ("3", "7", "9")
    assert within.labels.bincount().tolist() == c.stimuli.labels.bincount().tolist() == [3, 3, 3]
    everything = conditions(DatasetConfig("digits", stimuli=None))[0]
    for i, image_id in enumerate(within.ids):
        j = everything.ids.index(image_id)
        assert everything.classes[everything.labels[j]] == within.classes[within.labels[i]]
        assert within.image(i).tobytes() == everything.image(j).tobytes()
    pixels = c.stimuli.pixels(range(9))
    assert pixels is not None
    assert pixels.shape == (9, 3, 32, 32), "the size that networks of digits were trained on"
    assert pixels[:, 0, 31, 31].tolist() == [int(c.stimuli.classes[i]) for i in c.stimuli.labels.tolist()]
    write(tmp_path / "drawn" / "ten" / "0.png", 10)
    with pytest.raises(UserError, match="drawn/ten is a class that dataset=digits has not"):
        conditions(DatasetConfig("digits", **options))  # type: ignore[arg-type]


def test_folders_of_folders_are_several_shifts(tmp_path: Path) -> None:
    for shift in ("ink", "chalk"):
        for digit in "01":
            write(tmp_path / "all" / shift / digit / "0.png", int(digit))
    options = {"shifts": ShiftSource.image_folder, "shifts_root": str(tmp_path / "all")}
    _, found = conditions(DatasetConfig("digits", **options))  # type: ignore[arg-type]
    assert [c.name for c in found] == ["chalk", "ink"]
    _, found = conditions(DatasetConfig("digits", **options, conditions=["ink"]))  # type: ignore[arg-type]
    assert [c.name for c in found] == ["ink"]


@pytest.mark.parametrize(
    "source", [s for s in ShiftSource if s not in (ShiftSource.generated, ShiftSource.model_vs_human)]
)
def test_a_missing_folder_says_what_was_looked_for(tmp_path: Path, source: ShiftSource) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH[:2])
    name = "cifar10" if source is ShiftSource.cifar10_c else "imagenet"
    for place, shown in ((None, r"no folder \(dataset.shifts_root is not set\)"), (str(tmp_path / "no"), "no")):
        with pytest.raises(UserError, match=rf"{source.value} looked in .*{shown} for .*<.*dataset.shifts_root=PATH"):
            conditions(config(tmp_path, source, name=name, shifts_root=place))


def test_sets_without_a_class_in_common_are_refused(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH[:2])
    write(tmp_path / "sets" / "n99999999" / "a.jpg", 0)
    with pytest.raises(UserError, match="sets has no images of classes that dataset=imagenet has"):
        conditions(config(tmp_path, ShiftSource.imagenet_r))
    for corruption, wnid in (("fog", ONE_OF_EACH[0]), ("snow", ONE_OF_EACH[1])):
        write(tmp_path / "c" / corruption / "1" / wnid / "a.png", 0)
    with pytest.raises(UserError, match="no class of dataset=imagenet is in all the sets"):
        conditions(config(tmp_path, ShiftSource.imagenet_c, shifts_root=str(tmp_path / "c")))
    with pytest.raises(UserError, match="holds nothing like <corruption>"):
        conditions(config(tmp_path, ShiftSource.imagenet_c, shifts_root=str(tmp_path / "imagenet")))


# ---------------------------------------------------------------- CIFAR-10-C


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's test split, its first pixel numbering the images, and a corruption whose blue is the severity."""
    labels = np.arange(10_000) % 10
    plain = torch.zeros(10_000, 3, 32, 32, dtype=torch.uint8)
    plain[:, 0, 0, 0], plain[:, 1, 0, 0] = torch.arange(10_000) // 256, torch.arange(10_000) % 256

    def load(options: DatasetConfig, split: str) -> ArrayStimuli:
        rows = torch.tensor([7, 4321, 9999, 0, 256][: options.stimuli])
        ids = tuple(f"cifar10-test-{int(row)}" for row in rows)
        return ArrayStimuli("cifar10", tuple("abcdefghij"), ids, torch.tensor(labels)[rows], "f", array=plain[rows])

    monkeypatch.setattr(module, "load", load)
    (tmp_path / "sets").mkdir()
    images = np.lib.format.open_memmap(tmp_path / "sets/fog.npy", "w+", np.uint8, (50_000, 32, 32, 3))
    for severity in range(5):
        part = images[severity * 10_000 : (severity + 1) * 10_000]
        part[:, 0, 0, 0], part[:, 0, 0, 1] = np.arange(10_000) // 256, np.arange(10_000) % 256
        part[:, 0, 0, 2] = severity + 1
    images.flush()
    np.save(tmp_path / "sets/labels.npy", np.tile(labels, 5))
    return tmp_path


@pytest.mark.parametrize("each", [1, 5])
def test_cifar10_c_is_paired_row_by_row(cifar: Path, each: int) -> None:
    np.save(cifar / "sets/labels.npy", np.tile(np.arange(10_000) % 10, each))
    within, found = conditions(config(cifar, ShiftSource.cifar10_c, name="cifar10", stimuli=4))
    assert [(c.name, c.level, c.averaged) for c in found] == [("fog", s, True) for s in "12345"]
    for c in found:
        assert (c.stimuli.ids, c.stimuli.labels.tolist()) == (within.ids, within.labels.tolist())
        pixels, plain = c.stimuli.pixels([2, 0]), within.pixels([2, 0])
        assert pixels is not None
        assert plain is not None
        assert torch.equal(pixels[:, :2], plain[:, :2])
        assert pixels[:, 2, 0, 0].tolist() == [int(c.level)] * 2
        assert c.stimuli.image(1).getpixel((0, 0)) == (4321 // 256, 4321 % 256, int(c.level))
    assert len({c.stimuli.fingerprint for c in found}) == 5


def test_broken_files_of_cifar10_c_are_refused(cifar: Path) -> None:
    options = config(cifar, ShiftSource.cifar10_c, name="cifar10")
    np.save(cifar / "sets/labels.npy", np.zeros(10_000))
    with pytest.raises(UserError, match=r"labels.npy gives another class to cifar10-test-7 than CIFAR-10 does"):
        conditions(options)
    np.save(cifar / "sets/labels.npy", np.zeros(1_000))
    with pytest.raises(UserError, match=r"holds \(1000,\) labels, neither 10,000 nor 50,000"):
        conditions(options)
    np.save(cifar / "sets/labels.npy", np.arange(10_000) % 10)
    np.save(cifar / "sets/fog.npy", np.zeros((10, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"fog.npy holds uint8 \(10, 32, 32, 3\), not 8 bits of"):
        conditions(options)
    (cifar / "sets/fog.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"fog.npy is broken"):
        conditions(options)
    (cifar / "sets/labels.npy").unlink()
    with pytest.raises(UserError, match=r"lacks <corruption>.npy and labels.npy"):
        conditions(options)
    with pytest.raises(UserError, match=r"use dataset=cifar10, not imagenet"):
        conditions(config(cifar, ShiftSource.cifar10_c))


# ---------------------------------------------------------------- downloads


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that the benchmark's archives are fetched from."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(model_vs_human, "URL", f"http://127.0.0.1:{running.server_port}/{{}}.tar.gz")
        yield folder
        running.shutdown()


def pack(served: Path, tmp_path: Path, name: str) -> Path:
    write_set(tmp_path / "made", name)
    archive = served / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / name, name)
    return archive


def options_for(tmp_path: Path, name: str) -> FilesConfig:
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    return config(tmp_path, ShiftSource.model_vs_human, conditions=[name], download=True)


def test_a_missing_set_is_fetched_once_and_its_hash_kept(tmp_path: Path, server: Path) -> None:
    archive = pack(server, tmp_path, "edge")
    options = options_for(tmp_path, "edge")
    _, (c,) = conditions(options)
    assert len(c.stimuli) == 16
    record = json.loads((tmp_path / "sets/edge.json").read_text())
    assert record["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert record["files"] == 16
    assert record["bytes"] == archive.stat().st_size
    assert record["url"].endswith("/edge.tar.gz")
    archive.unlink()
    assert len(conditions(options)[1][0].stimuli) == 16
    assert sorted(p.name for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock") == ["edge", "edge.json"]


def test_without_a_network_one_sentence_says_where_it_looked_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_vs_human, "URL", "http://127.0.0.1:9/{}.tar.gz")
    with pytest.raises(UserError) as error:
        conditions(options_for(tmp_path, "contrast"))
    message, root = str(error.value), tmp_path / "sets"
    assert (
        f"the set contrast was not found in {root}, and downloading http://127.0.0.1:9/contrast.tar.gz fail" in message
    )
    assert f"curl -L http://127.0.0.1:9/contrast.tar.gz | tar -xz -C {root}`" in message
    assert "dataset.shifts_root=PATH" in message
    assert "\n" not in message
    assert not [p for p in root.iterdir() if p.suffix != ".lock"]
    with pytest.raises(UserError, match=r"was not found in .*dataset.download=false: get it with `mkdir -p"):
        conditions(config(tmp_path, ShiftSource.model_vs_human, conditions=["contrast"]))


def test_the_usual_places_are_searched_and_the_benchmarks_address_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_imagenet(tmp_path / "imagenet", ONE_OF_EACH)
    options = config(tmp_path, ShiftSource.model_vs_human, shifts_root=None, conditions=["false-colour"])
    address = "https://github.com/bethgelab/model-vs-human/releases/download/v0.1/false-colour.tar.gz"
    with pytest.raises(
        UserError, match=rf"found in data/model-vs-human, .*cache/convergence/model-vs-human, .*{address}"
    ):
        conditions(options)
    write_set(tmp_path / "data/model-vs-human", "false-colour")
    assert len(conditions(options)[1]) == 1


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("evil", "reason"),
    [
        (member("/etc/edge"), "has an absolute path"),
        (member("C:/edge"), "has an absolute path"),
        (member("\\edge"), "has an absolute path"),
        (member("../edge.txt"), "lies outside"),
        (member("edge/../../out"), "lies outside"),
        (member("edge\\..\\..\\out"), "lies outside"),
        (member("edge/link", tarfile.SYMTYPE, "/etc"), "is a link"),
        (member("edge/hard", tarfile.LNKTYPE, "edge/bear/bear4.png"), "is a link"),
        (member("edge/device", tarfile.CHRTYPE), "is neither a file nor a folder"),
        (member("edge/pipe", tarfile.FIFOTYPE), "is neither a file nor a folder"),
    ],
)
def test_unsafe_members_are_refused_and_nothing_is_left(
    tmp_path: Path, server: Path, evil: tarfile.TarInfo, reason: str
) -> None:
    with tarfile.open(server / "edge.tar.gz", "w:gz") as tar:
        tar.addfile(member("edge/bear", tarfile.DIRTYPE))
        tar.addfile(evil)
    with pytest.raises(UserError, match=rf"is not unpacked: its member .* {reason}"):
        conditions(options_for(tmp_path, "edge"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "edge.txt").exists()


@pytest.mark.parametrize("damage", [b"<html>sign in</html>", b"", None])
def test_a_broken_archive_is_refused_and_nothing_is_left(tmp_path: Path, server: Path, damage: bytes | None) -> None:
    archive = pack(server, tmp_path, "edge")
    archive.write_bytes(archive.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(UserError, match=r"edge.tar.gz is broken"):
        conditions(options_for(tmp_path, "edge"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]


def test_an_archive_of_something_else_is_refused(tmp_path: Path, server: Path) -> None:
    pack(server, tmp_path, "edge").rename(server / "silhouette.tar.gz")
    with pytest.raises(UserError, match="holds no folder silhouette"):
        conditions(options_for(tmp_path, "silhouette"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]


def test_a_download_that_ends_early_leaves_nothing(
    tmp_path: Path, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(server, tmp_path, "edge")
    whole = fetch._read
    monkeypatch.setattr(fetch, "_read", lambda answer, size: whole(answer, 100) if answer.length > 1000 else b"")
    with pytest.raises(UserError, match=r"downloading .*edge.tar.gz failed"):
        conditions(options_for(tmp_path, "edge"))
    assert not [p for p in (tmp_path / "sets").iterdir() if p.suffix != ".lock"]


def test_what_a_killed_download_left_is_swept_away(tmp_path: Path, server: Path) -> None:
    pack(server, tmp_path, "edge")
    left = tmp_path / "sets/.edge.0123abcd.tmp"
    left.mkdir(parents=True)
    (left / "archive.tar.gz").write_bytes(b"half")
    assert len(conditions(options_for(tmp_path, "edge"))[1][0].stimuli) == 16
    assert not left.exists()
