"""Convergence in M: nested subsets of the stimuli, from the same responses."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest

from convergence import figures, run
from convergence.experiment.compose import compose
from convergence.figures import stimuli_sweep, style
from convergence.figures.summary import summary
from convergence.results import table as results
from convergence.results import views as tables
from convergence.results.stimuli_sweep import curves, scarce
from convergence.system.errors import UserError
from tests.support import drafts

SMALL = [
    *("dataset=digits", "dataset.stimuli=160", "dataset.train_images=256", "model.training.epochs=1"),
    *("model.layers=[conv1,layer3.conv2]", "axis.untrained=false", "progress=false"),
]


@pytest.mark.slow
def test_a_subset_is_scored_as_a_run_of_so_many_stimuli_and_stays_out_of_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.only(monkeypatch)
    place = f"output={tmp_path}"
    swept = run(compose([*SMALL, place, "axis.stimuli_sweep=[40,80,160]"]))
    whole, small = run(compose([*SMALL, place])), run(compose([*SMALL, place, "dataset.stimuli=80"]))
    keys = ["source_layer", "target_layer", "metric", "direction", "fold"]
    samples = swept.n_train + swept.n_test
    assert samples.value_counts().index.sort_values().tolist() == [40, 80, 160]
    expected = tables.corresponding(small).set_index(keys).score
    assert swept[samples == 80].set_index(keys).score.loc[expected.index].to_numpy() == pytest.approx(
        expected.to_numpy()
    )
    left_out = ["run"]
    observed = tables.observed(swept).reset_index(drop=True).drop(columns=left_out)
    pd.testing.assert_frame_equal(observed, whole.drop(columns=left_out))
    names = {path.name for path in figures.draw(swept, tmp_path)}
    assert names - {path.name for path in figures.draw(whole, tmp_path)} == {"stimuli_sweep.png"}
    text = summary(swept)
    assert text.startswith(summary(whole).rstrip())
    assert "this says nothing" in text
    assert max(map(len, text.splitlines())) <= 80


def rows(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"source_units": 64, "target_units": 32, "n_train": [32, 33, 64, 65], **columns})


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("linear", [True, True, True, False]),
        ("procrustes", [True, False, False, False]),
        ("soft_matching", [False] * 4),
    ],
)
def test_scores_of_fewer_stimuli_than_the_fit_has_directions_are_marked(metric: str, expected: list[bool]) -> None:
    assert scarce(rows(metric=metric)).tolist() == expected


def test_a_table_without_a_sweep_has_no_curves() -> None:
    assert curves(results.conform(pd.DataFrame()).to_pandas()).empty


@pytest.mark.parametrize(
    ("counts", "message"),
    [("[40,400]", "stimuli_sweep names 400 stimuli of 160"), ("[8]", "8 stimuli are too few for 5 folds")],
)
def test_impossible_numbers_are_refused_before_training(counts: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(compose([*SMALL, f"output={tmp_path}", f"axis.stimuli_sweep={counts}"]))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("scarce", ["first", "second", "none"])
def test_a_ring_is_explained_only_where_one_is_drawn(
    scarce: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = itertools.product(enumerate(["first", "second", "middle", "last"]), [20, 40])
    rows = [(name, depth, m, name == scarce and m == 20) for (depth, name), m in points]
    found = pd.DataFrame(rows, columns=["layer", "depth", "samples", "scarce"])
    found = found.assign(metric="linear", units=30, score=0.5, low=0.4, high=0.6)
    monkeypatch.setattr(stimuli_sweep, "curves", lambda table: found)
    said: list[str] = []
    monkeypatch.setattr(
        style, "save", lambda figure, *_: said.extend(t.get_text() for t in figure.legends[0].get_texts())
    )
    stimuli_sweep.draw(pd.DataFrame(), tmp_path)
    assert ("fewer to fit on than units" in said) is (scarce == "first")  # the second layer is not shown
