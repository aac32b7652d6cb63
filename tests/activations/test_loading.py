"""Images are prepared once per input size, by workers where there are any, and what is too large is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convergence import run
from convergence.activations.loading import Clock, Loader, workers_for
from convergence.experiment.compose import compose
from convergence.models.preprocess import PixelPreprocess
from convergence.stimuli.folder import FileStimuli
from convergence.stimuli.load import load
from convergence.system.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(150):
        place = tmp_path / "images" / "test" / f"class{i % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20 + i % 7, 24, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return tmp_path / "images"


def folder(root: Path) -> Any:
    return load(compose(["dataset=image_folder", f"dataset.root={root}"]).dataset, "test")


def loader(stimuli: Any, cache: Path, size: int = 16, batch: int = 40, workers: int = 0) -> Loader:
    return Loader(PixelPreprocess(size), stimuli, cache, batch, workers, CPU, Clock())


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (40, 0), (64, 2), (500, 0)])
def test_batches_are_the_images_of_each_part_in_order(batch: int, workers: int, root: Path, tmp_path: Path) -> None:
    stimuli = folder(root)
    parts = [range(3, 50), range(50, 51), range(100, 150)]
    expected = PixelPreprocess(16).pixels(stimuli, [i for part in parts for i in part])
    for _ in range(2):  # decoded, then from the cache
        found = list(loader(stimuli, tmp_path / "cache", batch=batch, workers=workers).batches(parts))
        assert torch.equal(torch.cat(found), expected)
        assert [len(b) for b in found] == [min(batch, len(p) - i) for p in parts for i in range(0, len(p), batch)]


@pytest.mark.parametrize("size", [16, 24])
def test_any_number_of_threads_decodes_the_same_pixels_and_names_the_same_broken_file(size: int, root: Path) -> None:
    stimuli, found, broken = folder(root), [], []
    before = torch.get_num_threads()
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            found.append(PixelPreprocess(size).pixels(stimuli, range(5, 150)))
        for i in (140, 20):
            stimuli.path(i).write_bytes(b"no image")
        for threads in (1, 4):
            torch.set_num_threads(threads)
            with pytest.raises(UserError) as error:
                PixelPreprocess(size).pixels(stimuli, range(5, 150))
            broken.append(str(error.value))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert str(stimuli.path(20)) in broken[0] == broken[1]


def test_an_image_is_decoded_once_per_geometry(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stimuli, decoded = folder(root), []
    real = FileStimuli.image
    monkeypatch.setattr(FileStimuli, "image", lambda self, i: decoded.append(i) or real(self, i))
    for size, normalisation, count in ((16, 0.5, 150), (16, 0.4, 150), (12, 0.5, 300)):
        preprocess = PixelPreprocess(size, mean=(normalisation,) * 3)
        list(Loader(preprocess, stimuli, tmp_path / "cache", 32, 0, CPU).batches([range(150)]))
        assert len(decoded) == count


def test_a_damaged_block_is_decoded_again(root: Path, tmp_path: Path) -> None:
    stimuli = folder(root)
    (before,) = loader(stimuli, tmp_path / "cache", batch=150).batches([range(150)])
    block = sorted((tmp_path / "cache").rglob("chunk-*"))[1]
    block.write_bytes(block.read_bytes()[:-9])
    (after,) = loader(stimuli, tmp_path / "cache", batch=150).batches([range(150)])
    assert torch.equal(before, after)


def test_workers_follow_the_device_unless_they_are_given() -> None:
    assert workers_for(3, CPU) == 3
    assert workers_for(None, CPU) == 0
    assert workers_for(None, torch.device("cuda")) >= 1


def words(place: Path, *more: str) -> list[str]:
    small = ["dataset=digits", "dataset.stimuli=60", "model.training.epochs=0", "model.training.early_checkpoints=0"]
    layers = ["model.layers=['layer[123].conv2']", "progress=false", f"output={place}"]
    return [*small, *layers, *more]


def test_responses_too_large_to_keep_are_streamed_with_the_same_scores(tmp_path: Path) -> None:
    options = ("model.units=samples", "metric=procrustes")
    kept = run(compose(words(tmp_path / "kept", *options)))
    streamed = run(compose(words(tmp_path / "streamed", *options, "cache_gb=1e-9")))
    assert len(kept) == len(streamed) > 0
    assert np.allclose(kept.score, streamed.score, atol=1e-5)
    assert kept.source_accuracy.notna().all()
    assert np.allclose(kept.source_accuracy, streamed.source_accuracy)
    assert list((tmp_path / "kept").rglob("activations/*"))
    assert not list((tmp_path / "streamed").rglob("activations/*"))


def test_flattened_maps_without_room_are_refused_with_their_size(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"units=flatten gives 28,672 units of tiny_resnet, .* GiB for 60 stimuli.*cache_gb"
    ):
        run(compose(words(tmp_path, "model.units=flatten", "metric=procrustes", "cache_gb=1e-9")))


def test_flattened_maps_go_by_the_gram_side_from_the_command_on(tmp_path: Path) -> None:
    table = run(compose(words(tmp_path, "model.units=flatten", "metric=procrustes")))
    assert (table.source_units > 60).any()
    assert table.score.notna().all()
    manifest = json.loads(next(tmp_path.rglob("manifest.json")).read_text())
    assert manifest["extraction"]["seconds"] > 0
    assert 0 <= manifest["extraction"]["waiting_for_images"] <= 1
