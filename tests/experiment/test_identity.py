"""A run's numbers are of the images, networks and options that it names, whatever happens around it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from convergence.commands import main as cli
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.folder import run_folder, run_hash
from convergence.models import library
from convergence.models.options import Library, LibraryConfig, SeedsConfig
from convergence.results import table as results

NETWORKS = ("model=tiny_vgg", "model.training.epochs=0", "model.layers=[features.0,classifier]")
SCORES = ("metric=procrustes", "metric.folds=2", "axis=depth", "axis.pairs=matched", "axis.untrained=false")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    place = tmp_path / "images"
    for i in range(30):
        picture(place / f"class{i % 2}" / f"{i}.png", i)
    return place


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


def words(images: Path | str, output: Path, *more: str) -> list[str]:
    data = ("dataset=image_folder", f"dataset.root={images}", "dataset.stimuli=4")
    return [*data, *NETWORKS, "model.seeds.init=[0,1]", *SCORES, f"output={output}", *more]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    caplog.set_level(logging.INFO, "convergence")

    def told() -> str:
        text = caplog.text
        caplog.clear()
        return text

    return told


def used(images: Path, output: Path) -> Path:
    """One of the images that the run has seen."""
    from convergence.stimuli.load import load

    stimuli = load(compose(words(images, output)).dataset, "test")
    return images / stimuli.ids[0]


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
            name="resnet18", library=Library.torchvision, image_size=32, seeds=SeedsConfig(init=[seed])
        )
        torch.save(library.untrained(config)[0].build().state_dict(), tmp_path / name)

    save("a.pth", 0)
    save("b.pth", 1)
    files = f"model.checkpoints=[{tmp_path / 'a.pth'},{tmp_path / 'b.pth'}]"
    library_words = ("model=torchvision", "model.name=resnet18", "model.image_size=32", "model.layers=[conv1,fc]")
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


# ---------------------------------------------------------------- names of runs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["metric.names=[linear,procrustes]"], ["metric.names=[procrustes,linear]"]),
        (["dataset.download=true"], ["dataset.download=false"]),
        (["dataset.on_error=stop"], ["dataset.on_error=skip"]),
        (["model.layers=[conv1,fc]"], ["model.layers=[fc,conv1,fc]"]),
        (["dataset.levels=all"], ["dataset.levels=benchmark"]),  # of axis=ood alone
        (["axis=ood", "dataset.conditions=[colour,edge]"], ["axis=ood", "dataset.conditions=[edge,colour]"]),
        (["axis=ood", "axis.protocols=[refit,transfer]"], ["axis=ood", "axis.protocols=[transfer,refit]"]),
        (["model.seeds.init=[0,1]"], ["model.seeds={init: [0,1], order: [0,1]}"]),
        (["model.seeds={init: [3], order: [0,1]}"], ["model.seeds={init: [3,3], order: [0,1]}"]),
    ],
    ids=str,
)
def test_options_that_change_no_number_share_a_run(one: list[str], other: list[str]) -> None:
    base = ["dataset=image_folder", "dataset.root=images", "model=tiny_resnet", "axis=depth"]
    assert run_hash(compose([*base, *one])) == run_hash(compose([*base, *other]))


def test_a_relative_folder_is_another_one_in_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, tables = [], set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        folders.append(run_folder(compose(words("images", tmp_path / "out"))))
        assert folders[-1] == run_folder(compose(words(tmp_path / name / "images", tmp_path / "out")))
        tables.add(run_folder(compose([*words("null", tmp_path / "out"), "dataset.table=images.csv"])))
    assert folders[0] != folders[1]
    assert len(tables) == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_folder(compose(words("'~/b/images'", tmp_path / "out"))) == folders[1]


# ---------------------------------------------------------------- done means whole


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def _other_run(path: Path) -> None:
    results.write_shard(path.parents[1], path.stem, pq.read_table(path).to_pandas(), {"images": "others"})


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink, _other_run, lambda path: path.write_bytes(b"")])
def test_a_shard_that_is_spoilt_before_the_merge_is_computed_again(
    damage: Callable[[Path], object], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = "model.seeds.init=[0,1,2]"
    expected = experiment.run(compose(words(images, tmp_path / "whole", three)))
    made = compose(words(images, tmp_path / "out", three, f"cache={tmp_path / 'whole' / '.cache'}"))
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


def test_draws_of_chance_are_counted_before_anything_is_extracted(images: Path, tmp_path: Path) -> None:
    made = compose(words(images, tmp_path / "out", "null=shuffle", "null.draws=2000000000"))
    with pytest.raises(experiment.UserError, match=r"2,000,000,000 draws of chance for 2 pairs of layers .* GiB, and"):
        experiment.run(made)
    assert not (tmp_path / "out" / ".cache" / "activations").exists()


@pytest.mark.parametrize("axis", ["depth", "training", "ood"])
def test_fifty_folds_are_scored_and_drawn_on_every_axis(axis: str, tmp_path: Path) -> None:
    network = ("model=tiny_vgg", "model.training.epochs=1", "model.layers=[classifier]", "dataset.train_images=128")
    data = ("dataset=shapes", "dataset.size=16", "dataset.stimuli=150", "dataset.conditions=[colour]")
    scores = (f"axis={axis}", "metric=procrustes", "metric.folds=50", f"output={tmp_path}", "progress=false")
    assert cli.main(["run", *data, *network, *scores]) == 0
    table = results.read([tmp_path])
    assert set(table.fold) == set(range(50))


CODE = """
import torch
from torch import nn
from PIL import Image
import numpy as np

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, x):
        return self.conv(x * GAIN + x ** 2).mean((2, 3))

def images():
    return [(Image.fromarray(np.random.default_rng(FIRST + i).integers(0, 256, (32, 32, 3), dtype=np.uint8)), i % 2)
            for i in range(40)]
"""


@pytest.mark.parametrize(("changed", "kind"), [("GAIN = 3", "other networks"), ("FIRST = 100", "other images")])
def test_code_of_the_users_own_that_has_changed_is_run_again(
    changed: str, kind: str, tmp_path: Path, said: Callable[[], str]
) -> None:
    nets, data = tmp_path / "nets.py", tmp_path / "data.py"
    nets.write_text("GAIN = 1\nFIRST = 0\n" + CODE)
    data.write_text(nets.read_text())
    network = ("model=module", f"model.factory={nets}:Net", "model.image_size=32", "model.layers=[conv]")
    code = ("dataset=module", f"dataset.factory={data}:images", "dataset.stimuli=20", "model.seeds.init=[0,1]")
    made = compose([*network, *code, *SCORES, f"output={tmp_path / 'out'}"])
    first = experiment.run(made)
    assert experiment.run(made).equals(first)
    assert "nothing to do" in said()
    path = nets if "GAIN" in changed else data
    path.write_text(path.read_text().replace(f"{changed.split()[0]} = {'1' if 'GAIN' in changed else '0'}", changed))
    second = experiment.run(made)
    assert kind in (text := said())
    assert "they are computed again" in text
    assert not np.allclose(first.score, second.score)


@pytest.mark.parametrize("spelt", ["mine_of_{}.py:half", "mine_of_{}:half"], ids=["a file's", "a module's"])
def test_a_metric_whose_code_has_changed_is_scored_again(
    spelt: str, tmp_path: Path, said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = tmp_path.name
    path = tmp_path / f"mine_of_{name}.py"
    path.write_text("def half(x_train, y_train, x_test, y_test):\n    return 0.5\n")
    for i, file in enumerate(("one.npz", "two.npz")):
        np.savez(file, area=np.random.default_rng(i).normal(size=(60, 4)))
    recorded = ["model=arrays", "model.files=[one.npz,two.npz]", f"metric.names=[{spelt.format(name)}]"]
    made = compose([*recorded, "output=out"])
    experiment.run(made)
    experiment.run(made)
    assert "nothing to do" in said()
    path.write_text(path.read_text().replace("0.5", "0.25"))
    experiment.run(made)
    assert "were made from other code of yours: they are computed again." in said()
