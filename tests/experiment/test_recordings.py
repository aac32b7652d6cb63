"""Experiments with recorded responses, from the command line to the figures."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from convergence.commands import main as cli
from convergence.figures.summary import summary
from convergence.results import table as results
from tests.support import drafts

STIMULI = 60
IDS = [f"im{i:03d}" for i in range(STIMULI)]
NETWORK = ("model=tiny_vgg", "model.seeds.init=[0]", "model.training.epochs=0", "model.layers=[features.1,classifier]")
FAST = ("metric=procrustes", "progress=false")


def animal(path: Path, seed: int, *, ids: Sequence[str] | None = IDS, repeats: int = 4, latent: int = 0) -> Path:
    """Two areas of the same hidden signals, seen through this animal's own units, in an order of its own."""
    signals = np.random.default_rng(latent).standard_normal((STIMULI, 6))
    rng = np.random.default_rng(100 + seed)
    order = rng.permutation(STIMULI) if ids is not None else np.arange(STIMULI)
    areas = {}
    for area, kept in (("V4", slice(0, 3)), ("IT", slice(3, 6))):
        clean = signals[:, kept] @ rng.standard_normal((3, 8))
        areas[area] = (clean + 0.5 * rng.standard_normal((repeats, STIMULI, 8)))[:, order]
    more = {} if ids is None else {"stimulus_ids": np.array(ids)[order]}
    np.savez(path, **areas, **more)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two animals, and a folder of the images that they saw and of some that they did not."""
    place = tmp_path_factory.mktemp("recordings")
    for k in (1, 2):
        animal(place / f"monkey{k}.npz", k)
    rng = np.random.default_rng(0)
    for i in range(STIMULI + 10):
        folder = place / "images" / "test" / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"im{i:03d}.png")
    for i in range(8):
        folder = place / "images" / "train" / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"t{i}.png")
    return place


@pytest.fixture(autouse=True)
def _drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    drafts.laid_out(monkeypatch)


@pytest.fixture
def drawn(_drafts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of areas are drawn in full."""
    drafts.laid_out(monkeypatch, "areas_heatmaps", "areas_best")


def run(place: Path, output: Path, *words: str) -> int:
    """``{monkey1}`` and the like in the words are these files."""
    names = {path.stem: path for path in place.glob("*.npz")} | {"images": place / "images"}
    return cli.main(["run", *FAST, f"output={output}", *(word.format_map(names) for word in words)])


IMAGES = ("dataset=image_folder", "dataset.root={images}")
BOTH = ("model=arrays", "model.files=[{monkey1},{monkey2}]")


@pytest.mark.usefixtures("drawn")
def test_recordings_alone_need_no_data_set_and_are_put_in_one_order_by_id(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path, *BOTH) == 0
    shown = capsys.readouterr()
    assert "60 stimuli are common" in shown.err
    assert max(map(len, shown.out.split("results ")[0].splitlines())) <= 80
    assert "corrected: as of responses without noise" in shown.out
    table = results.read([tmp_path])
    assert "corrected" not in summary(table.assign(score_corrected=np.nan)), "without repeats nothing is"
    assert set(table.dataset) == {"recorded"}
    assert set(table.source_weights) == {"monkey1", "monkey2"}
    assert table.source_depth.isna().all(), "areas have names, and no depth"
    means = table.groupby(["source_layer", "target_layer"]).score.mean()
    assert means["V4", "V4"] > 0.8
    assert means["IT", "IT"] > 0.8
    assert means["V4", "IT"] < 0.3
    assert table.target_reliability.between(0.9, 1).all()
    assert (table.score_corrected > table.score)[table.score > 0.2].all()
    for name in ("areas_heatmaps", "areas_best"):
        assert next(tmp_path.rglob(f"{name}.png")).stat().st_size > 5000
    assert run(place, tmp_path, *BOTH, "dataset=digits") == 0
    assert "nothing to do" in capsys.readouterr().err, "another data set changes nothing"


def test_recordings_are_swept_over_numbers_of_stimuli_by_areas_of_one_name(place: Path, tmp_path: Path) -> None:
    assert run(place, tmp_path, *BOTH, "axis.stimuli_sweep=[20,40]") == 0
    table = results.read([tmp_path])
    swept = table[table.n_train + table.n_test < STIMULI]
    assert set(swept.n_train + swept.n_test) == {20, 40}
    assert (swept.source_layer == swept.target_layer).all()
    assert set(swept.source_layer) == {"V4", "IT"}
    assert swept.score_corrected.notna().all()


def test_a_recording_that_has_changed_is_scored_again(place: Path, tmp_path: Path) -> None:
    mine = animal(tmp_path / "mine.npz", 3)
    words = ("model=arrays", f"model.files=[{{monkey1}},{mine}]", "figures=false")
    assert run(place, tmp_path / "out", *words) == 0
    before = results.read([tmp_path / "out"])
    animal(mine, 4)
    assert run(place, tmp_path / "out", *words) == 0
    after = results.read([tmp_path / "out"])
    assert len(after) == len(before), "the same run, of what lies there now"
    assert (after.score != before.score).any()


def test_without_ids_the_order_of_the_files_is_taken(place: Path, tmp_path: Path) -> None:
    for k in (1, 2):
        animal(tmp_path / f"a{k}.npz", k, ids=None)
    words = ("model=arrays", f"model.files={tmp_path}/a*.npz", "axis.pairs=matched", "null=shuffle", "null.draws=19")
    assert run(place, tmp_path / "out", *words) == 0
    table = results.read([tmp_path / "out"])
    assert (table.source_layer == table.target_layer).all(), "areas correspond by name"
    assert table[table.null.isna()].score.mean() > 0.8
    assert (table[table.null.notna()].p_value <= 0.05).all()


@pytest.mark.usefixtures("drawn")
def test_a_network_shown_the_same_images_is_matched_by_file_name(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = ("model@against=arrays", "against.files=[{monkey1}]")
    assert run(place, tmp_path, *NETWORK, *against, *IMAGES) == 0
    assert "60 of the 60 stimuli of recorded monkey1 are among the 70 images of" in capsys.readouterr().err
    table = results.read([tmp_path])
    assert set(table.n_train + table.n_test) == {STIMULI}
    assert set(table.dataset) == {"image_folder"}
    to_area = table[table.direction == "x->y"]
    assert set(zip(to_area.source_model, to_area.target_model, strict=True)) == {("tiny_vgg", "recorded")}
    assert to_area.source_depth.notna().all()
    assert to_area.target_reliability.notna().all()
    assert to_area.score_corrected.notna().all()
    backward = table[table.direction == "y->x"][["target_reliability", "score_corrected"]]
    assert backward.isna().all(axis=None), "a network's layers have no repeats"
    assert next(tmp_path.rglob("areas_best.png")).stat().st_size > 5000


@pytest.mark.slow
def test_animals_and_networks_meet_in_one_population_and_one_report(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = "{{model: tiny_vgg, layers: [features.1,classifier], seeds: {{init: [0, 1]}}, training: {{epochs: 1}}}}"
    members = f"model=[{network},{{{{model: arrays, files: [{{monkey1}},{{monkey2}}]}}}}]"
    assert run(place, tmp_path, members, *IMAGES, "dataset.stimuli=60") == 0
    table = results.read([tmp_path])
    kinds = table.groupby(["source_model", "target_model"]).run.nunique()
    assert kinds["tiny_vgg", "tiny_vgg"] == 1
    assert kinds["recorded", "recorded"] == 1
    assert kinds["tiny_vgg", "recorded"] == 4
    drawn = {path.name for path in tmp_path.rglob("*.png")}
    assert {"depth_profile.png", "areas_heatmaps.png", "areas_best.png"} <= drawn
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path)]) == 0
    assert "rows have a recording at one end or both" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("axis", ["training", "ood"])
def test_axes_without_meaning_for_recordings_say_so_before_any_work(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], axis: str
) -> None:
    assert run(place, tmp_path, *BOTH, f"axis={axis}") == 1
    said = capsys.readouterr().err
    assert f"axis={axis} can't take recorded responses" in said
    assert "use axis=depth" in said
    assert not list(tmp_path.rglob("networks"))


def few(path: Path) -> Path:
    return animal(path, 5, ids=[f"im{i:03d}" if i < 49 else f"other{i}" for i in range(STIMULI)])


REFUSED: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], list[str]]] = {
    "too few in common": (few, BOTH[:1], ["49 stimuli in common", "5 folds", "50"]),
    "nothing in common": (
        lambda path: animal(path, 5, ids=[f"other{i}" for i in range(STIMULI)]),
        (*NETWORK, *IMAGES, "model@against=arrays"),
        ["none of the stimuli of recorded mine", "/im0"],
    ),
    "no ids beside a network": (
        lambda path: animal(path, 5, ids=None),
        (*NETWORK, *IMAGES, "model@against=arrays"),
        ["recorded mine has no stimulus_ids", "model.stimulus_ids=FILE"],
    ),
    "ids in one alone": (lambda path: animal(path, 5, ids=None), BOTH[:1], ["recorded mine", "give them to both"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_stimuli_that_can_not_be_matched_are_refused_in_a_sentence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    make, words, told = REFUSED[kind]
    mine = make(tmp_path / "mine.npz")
    files = f"against.files=[{mine}]" if "model@against=arrays" in words else f"model.files=[{{monkey1}},{mine}]"
    assert run(place, tmp_path / "out", *words, files) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("convergence: ")
    assert all(word in said for word in told), said


def test_a_dry_run_of_recordings_tells_what_is_to_be_compared(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path, "--dry-run", *BOTH) == 0
    shown = capsys.readouterr().out
    assert "missing  recorded monkey1 monkey2" in shown
    assert "0 done, 1 missing of 1 on the common stimuli" in shown
    assert "0 images to extract" in shown


def test_one_recording_alone_has_nothing_to_be_compared_with(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, tmp_path, "model=arrays", "model.files=[{monkey1}]") == 1
    assert "one recording has nothing to be compared with" in capsys.readouterr().err


def test_results_from_before_recordings_still_read(place: Path, tmp_path: Path) -> None:
    assert run(place, tmp_path, *BOTH, "figures=false") == 0
    path = next(tmp_path.rglob("results.parquet"))
    older = pd.read_parquet(path).drop(columns=["target_reliability", "score_corrected"])
    older.to_parquet(tmp_path / "older.parquet")
    table = results.read([tmp_path / "older.parquet"])
    assert table.score_corrected.isna().all()
    assert len(table) == len(older)


@pytest.mark.slow
def test_the_documented_example_finds_simulated_areas_again_and_their_scores_without_noise(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "docs" / "examples" / "recordings.py"
    small = ["model.training.epochs=1", "dataset.train_images=1000", "dataset.stimuli=300", "progress=false"]
    layers = ["model.layers=[conv1,layer2.conv2,layer3.conv*,fc]", "figures=false"]
    table = runpy.run_path(str(script))["main"]([*small, *layers], tmp_path)
    itself, other = table.loc["seed0"], table.loc["seed1"]
    assert list(itself.true) == list(itself.layer) == ["conv1", "layer3.conv1", "layer3.conv2"]
    assert (itself.score_noiseless > 0.999).all()
    assert (other.score_noiseless < 0.99).all(), "an independently trained network is not the same"
    assert (table.score < 0.9 * table.score_noiseless).all()
    np.testing.assert_allclose(table.corrected, table.score_noiseless, atol=0.08)
