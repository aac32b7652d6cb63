"""What a living run reads stays in the cache, and decoded images stay within its size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convergence.activations import upkeep
from convergence.activations.cache import Cached, Entry
from convergence.activations.upkeep import items, prune
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.system.errors import UserError
from tests.support.command import FORKED
from tests.support.races import read_on


def entry(cache: Path, name: str = "a") -> Entry:
    made = Entry(cache / "activations" / name)
    made.write_chunk(0, {"layer": torch.ones(4, 3)})
    made.finish([0], ["layer"], list("0123"), torch.zeros(4), {"model": "net", "weights": "w", "stimuli": "s"})
    long_ago(made.folder)
    return made


def long_ago(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (0, 0))


def opened(made: Entry) -> Cached:
    found = made.open()
    assert found is not None
    return found


def test_what_another_process_reads_stays_however_long_it_computes_in_between(tmp_path: Path) -> None:
    made = entry(tmp_path)
    here, there = FORKED.Pipe()
    reader = FORKED.Process(target=read_on, args=(made.folder, there))
    reader.start()
    assert here.recv() == "open"
    long_ago(made.folder)  # a tile that takes hours
    assert [item.in_use for item in items(tmp_path)] == [True]
    assert prune(tmp_path, older=0) == []
    here.send("go on")
    assert here.recv() == 12
    reader.join()
    long_ago(made.folder)
    assert len(prune(tmp_path, older=0)) == 1
    assert not made.folder.exists()


def test_what_a_killed_process_read_may_go(tmp_path: Path) -> None:
    made = entry(tmp_path)
    here, there = FORKED.Pipe()
    reader = FORKED.Process(target=read_on, args=(made.folder, there))
    reader.start()
    assert here.recv() == "open"
    reader.kill()
    reader.join()
    long_ago(made.folder)
    assert len(prune(tmp_path, older=0)) == 1
    assert not list((tmp_path / ".reading").iterdir())


def test_what_this_process_no_longer_reads_may_go(tmp_path: Path) -> None:
    made = entry(tmp_path)
    first, second = opened(made), opened(made)
    del first
    assert prune(tmp_path, older=0) == []
    assert float(second.read(["layer"], 0, 4)["layer"].sum()) == 12
    del second
    long_ago(made.folder)
    assert len(prune(tmp_path, older=0)) == 1


def test_an_entry_that_is_opened_while_it_is_removed_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = entry(tmp_path)
    real, found = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        if not found:
            found.append(opened(made))
        return real(path, target)

    monkeypatch.setattr(upkeep.Path, "rename", rename)
    assert prune(tmp_path, older=0) == []
    assert float(found[0].read(["layer"], 0, 4)["layer"].sum()) == 12


def test_what_is_removed_by_hand_while_it_is_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    made = entry(tmp_path)
    reading = opened(made)
    (made.folder / "chunk-00000000.safetensors").unlink()
    with pytest.raises(UserError, match="was removed or damaged while it was read: give the same command again"):
        reading.read(["layer"], 0, 4)


@pytest.mark.parametrize(("size", "kept"), [(1.0, 1), (1e-9, 0)])
def test_decoded_images_stay_within_cache_gb_and_say_what_they_are(size: float, kept: int, tmp_path: Path) -> None:
    for i in range(30):
        path = tmp_path / "images" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    words = ("dataset=image_folder", f"dataset.root={tmp_path / 'images'}", "model=tiny_vgg", "model.training.epochs=0")
    scores = ("model.layers=[classifier]", "metric=procrustes", "metric.folds=2", "axis.untrained=false")
    rows = experiment.run(compose([*words, *scores, "dataset.stimuli=4", f"output={tmp_path}", f"cache_gb={size}"]))
    assert len(rows) == 4
    pixels = [item for item in items(tmp_path / ".cache") if item.kind == "pixels"]
    assert len(pixels) == kept
    assert all("decoded images of image_folder, short side" in item.about for item in pixels)
