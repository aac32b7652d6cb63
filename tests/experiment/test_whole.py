"""What is called done is whole, whatever happens around it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.folder import run_folder
from convergence.results import table as results
from tests.support.folders import picture, pictures, used, words


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def _other_run(path: Path) -> None:
    others = pq.read_table(path).to_pandas().assign(score=0.0)
    results.write_shard(path.parents[1], path.stem, others, {"images": "others"})


THREE = "model.seeds.init=[0,1,2]"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A folder with the images and the cache of a run of three networks, and its rows."""
    place = tmp_path_factory.mktemp("undisturbed")
    return place, experiment.run(compose(words(pictures(place / "images"), place, THREE)))


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink, _other_run, lambda path: path.write_bytes(b"")])
def test_a_shard_that_is_spoilt_before_the_merge_is_computed_again(
    damage: Callable[[Path], object],
    undisturbed: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, expected = undisturbed
    made = compose(words(place / "images", tmp_path / "out", THREE, f"cache={place}/.cache"))
    real, spoilt = results.merge, []

    def merge(folder: Path, names: object) -> pd.DataFrame | None:
        if not spoilt:
            spoilt.append(sorted(folder.glob("shards/*"))[1])
            damage(spoilt[0])
        return real(folder, names)  # type: ignore[arg-type]

    monkeypatch.setattr(results, "merge", merge)
    pd.testing.assert_frame_equal(experiment.run(made), expected)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(results.read([tmp_path / "out"]), expected)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink])
def test_a_table_that_is_spoilt_after_the_run_is_made_again_from_its_shards(
    damage: Callable[[Path], object], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compose(words(images, tmp_path / "out"))
    expected = experiment.run(made)
    damage(run_folder(made) / results.RESULTS)
    monkeypatch.setattr(experiment, "rows_of", None)
    pd.testing.assert_frame_equal(experiment.run(made), expected)
    pd.testing.assert_frame_equal(results.read([tmp_path / "out"]), expected)


def test_a_run_whose_shards_are_removed_again_and_again_is_not_called_done(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compose(words(images, tmp_path / "out"))
    real = results.write_shard

    def lost(folder: Path, name: str, *rest: object) -> None:
        real(folder, name, *rest)  # type: ignore[arg-type]
        (folder / "shards" / f"{name}.parquet").unlink()

    monkeypatch.setattr(results, "write_shard", lost)
    with pytest.raises(experiment.UserError, match="does not keep what is written to it"):
        experiment.run(made)
    assert not (run_folder(made) / "manifest.json").exists()
    assert not list((tmp_path / "out").rglob(results.RESULTS))


def test_a_run_that_is_started_over_in_between_is_whole(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process removes the shards (force=true) where the claim does not keep it out."""
    made = compose(words(images, tmp_path / "out", "model.seeds.init=[0,1,2]"))
    real, count = results.write_shard, iter(range(100))

    def write_shard(folder: Path, *rest: object) -> None:
        real(folder, *rest)  # type: ignore[arg-type]
        if next(count) == 1:
            shutil.rmtree(folder / "shards")
            (folder / "manifest.json").unlink(missing_ok=True)

    monkeypatch.setattr(results, "write_shard", write_shard)
    found = experiment.run(made)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(found, results.read([tmp_path / "out"]))
    assert len(found.groupby(["source_weights", "target_weights"])) == 6


def test_an_image_that_is_replaced_while_it_is_read_spoils_nothing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compose(words(images, tmp_path / "out"))
    path = used(images, tmp_path / "out")
    content = path.read_bytes()
    real = experiment.estimate

    def estimate(*arguments: object) -> object:  # the images are listed and hashed, and not yet seen by a network
        picture(path, 100)
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "estimate", estimate)
        with pytest.raises(experiment.UserError, match=r"dataset.root changed while this run read it"):
            experiment.run(made)
    path.write_bytes(content)
    expected = experiment.run(compose(words(images, tmp_path / "fresh")))
    pd.testing.assert_frame_equal(experiment.run(made), expected)
