"""Which images of shifted sets are compared with which within distribution, and how many."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from convergence.stimuli.conditions import conditions as module
from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.imagenet import class_order
from convergence.stimuli.options import DatasetConfig, OnError, ShiftSource
from convergence.stimuli.shifts import SHIFTS, Graded
from convergence.system.errors import UserError
from tests.support.shifted_sets import (
    CHIHUAHUA,
    ONE_OF_EACH,
    by_name,
    colour_of,
    config,
    png,
    write,
    write_imagenet,
    write_set,
)


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
