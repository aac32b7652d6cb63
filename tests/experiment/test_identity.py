"""A run's numbers are of the images and networks that it names: what has changed is noticed, and computed anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from convergence.commands import main as cli
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.folder import run_folder
from convergence.models import library
from convergence.models.options import Library, LibraryConfig, SeedsConfig
from convergence.results import table as results
from tests.support.folders import picture, used, words


@pytest.mark.parametrize("how", ["written over", "put in its place with the same time", "removed"])
def test_a_replaced_image_is_noticed_said_and_computed_anew(
    how: str, images: Path, tmp_path: Path, said: Callable[[], str]
) -> None:
    made = compose(words(images, tmp_path / "out"))
    first = experiment.run(made)
    assert experiment.run(made).equals(first)
    assert "nothing to do" in said()
    path = used(images, tmp_path / "out")
    about = path.stat()
    if how == "removed":
        path.unlink()
    elif how == "written over":
        picture(path, 100)
    else:
        picture(tmp_path / "new.png", 100)
        os.utime(tmp_path / "new.png", ns=(about.st_atime_ns, about.st_mtime_ns))
        os.replace(tmp_path / "new.png", path)
    second = experiment.run(made)
    assert "1 of 1 comparisons" in (text := said())
    assert "were made from other images: they are computed again." in text
    assert not np.allclose(first.score, second.score)
    fresh = experiment.run(compose(words(images, tmp_path / "fresh")))
    pd.testing.assert_frame_equal(second, fresh)
    assert experiment.run(made).equals(second)
    assert "nothing to do" in said()


def test_a_dry_run_tells_what_was_made_from_other_images(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = words(images, tmp_path / "out")
    experiment.run(compose(line))
    capsys.readouterr()
    assert cli.main(["run", "--dry-run", *line]) == 0
    assert "1 done of 1" in capsys.readouterr().out
    picture(used(images, tmp_path / "out"), 100)
    assert cli.main(["run", "--dry-run", *line]) == 0
    assert "0 done, 1 missing of 1" in capsys.readouterr().out


def test_touched_and_copied_images_are_the_same_images(
    images: Path, tmp_path: Path, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compose(words(images, tmp_path / "out"))
    first = experiment.run(made)
    for path in images.rglob("*.png"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    said()
    monkeypatch.setattr(experiment, "rows_of", None)  # nothing is scored
    assert experiment.run(made).equals(first)
    assert "nothing to do" in said()


def test_results_stay_when_the_images_are_gone(images: Path, tmp_path: Path, said: Callable[[], str]) -> None:
    made = compose(words(images, tmp_path / "out"))
    first = experiment.run(made)
    shutil.rmtree(images)
    shutil.rmtree(tmp_path / "out" / ".cache")
    assert experiment.run(made).equals(first)
    assert "nothing to do" in said()


def test_a_resumed_run_never_mixes_two_sets_of_images(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], str]
) -> None:
    made = compose(words(images, tmp_path / "out", "model.seeds.init=[0,1,2]"))
    real, count = experiment.rows_of, iter(range(100))

    def rows_of(*arguments: object) -> pd.DataFrame:
        if next(count) == 2:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "rows_of", rows_of)
        with pytest.raises(KeyboardInterrupt):
            experiment.run(made)
    picture(used(images, tmp_path / "out"), 100)
    found = experiment.run(made)
    assert "2 of 3 comparisons" in said()
    pd.testing.assert_frame_equal(
        found, experiment.run(compose(words(images, tmp_path / "fresh", "model.seeds.init=[0,1,2]")))
    )


def test_a_checkpoint_written_again_under_its_name_is_another_network(
    images: Path, tmp_path: Path, said: Callable[[], str]
) -> None:
    def save(name: str, seed: int) -> None:
        config = LibraryConfig(
            name="shufflenet_v2_x0_5", library=Library.torchvision, image_size=32, seeds=SeedsConfig(init=[seed])
        )
        torch.save(library.untrained(config)[0].build().state_dict(), tmp_path / name)

    save("a.pth", 0)
    save("b.pth", 1)
    files = f"model.checkpoints=[{tmp_path / 'a.pth'},{tmp_path / 'b.pth'}]"
    library_words = (
        "model=torchvision",
        "model.name=shufflenet_v2_x0_5",
        "model.image_size=32",
        "model.layers=[conv1.0,fc]",
    )
    made = compose([w for w in words(images, tmp_path / "out", *library_words, files) if "training" not in w])
    first = experiment.run(made)
    said()
    save("b.pth", 2)
    second = experiment.run(made)
    assert "were made from other networks: they are computed again." in said()
    assert not np.allclose(first.score, second.score)
    assert run_folder(made).is_dir()
    assert len(list((tmp_path / "out" / "depth").iterdir())) == 1


def test_results_of_an_older_version_are_read_and_never_mixed(
    images: Path, tmp_path: Path, said: Callable[[], str]
) -> None:
    made = compose(words(images, tmp_path / "out", "model.seeds.init=[0,1,2]"))
    expected = experiment.run(made)
    folder = run_folder(made)
    for path in [*folder.glob("shards/*.parquet"), folder / results.RESULTS]:  # as it wrote them
        pq.write_table(pq.read_table(path).replace_schema_metadata(), path)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["inputs"], manifest["results"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert len(results.read([folder])) == len(expected)
    said()
    pd.testing.assert_frame_equal(experiment.run(made), expected)
    assert "3 of 3 comparisons" in (text := said())
    assert "another version of the program" in text
