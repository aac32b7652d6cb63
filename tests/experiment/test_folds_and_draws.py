"""Folds and draws of chance in numbers that nobody has tried: refused before the work, or scored and drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.commands import main as cli
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.results import table as results
from tests.support import drafts
from tests.support.folders import words


def test_draws_of_chance_are_counted_before_anything_is_extracted(images: Path, tmp_path: Path) -> None:
    made = compose(words(images, tmp_path / "out", "null=shuffle", "null.draws=2000000000"))
    with pytest.raises(experiment.UserError, match=r"2,000,000,000 draws of chance for 2 pairs of layers .* GiB, and"):
        experiment.run(made)
    assert not (tmp_path / "out" / ".cache" / "activations").exists()


@pytest.mark.parametrize("axis", ["depth", "training", "ood"])
def test_fifty_folds_are_scored_and_drawn_on_every_axis(
    axis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.laid_out(monkeypatch)
    network = ("model=tiny_vgg", "model.training.epochs=1", "model.training.early_checkpoints=1")
    network += ("model.layers=[classifier]", "dataset.train_images=64")
    data = ("dataset=shapes", "dataset.size=16", "dataset.stimuli=150", "dataset.conditions=[colour]")
    scores = (f"axis={axis}", "metric=procrustes", "metric.folds=50", f"output={tmp_path}", "progress=false")
    assert cli.main(["run", *data, *network, *scores]) == 0
    table = results.read([tmp_path])
    assert set(table.fold) == set(range(50))
