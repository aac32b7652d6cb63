"""The OOD axis from a config to rows: every shift, both protocols, the same stimuli."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from convergence import figures
from convergence.activations import extract as activations
from convergence.activations.taps import taps
from convergence.alignment.align import align
from convergence.alignment.arrays import Arrays
from convergence.alignment.score import transfer
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.config import Config
from convergence.models import load as models
from convergence.stimuli import load as stimuli
from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.shifts import SHIFTS
from convergence.system.errors import UserError
from tests.support import drafts

CPU = torch.device("cpu")


def config(place: Path, *words: str) -> Config:
    small = ("dataset=digits", "dataset.stimuli=30", "dataset.train_images=128", "model.layers=[conv1,layer3.conv2,fc]")
    training = ("model.training.epochs=1", "model.training.early_checkpoints=0", "metric.folds=2", "progress=false")
    return compose([*small, *training, "axis=ood", f"output={place}", f"cache={place}/cache", *words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ood")


@pytest.fixture(scope="module")
def rows(place: Path) -> pd.DataFrame:
    return experiment.run(config(place, "metric=procrustes"))


@pytest.mark.slow
def test_every_shift_is_scored_at_its_averaged_levels_by_both_protocols_beside_within(rows: pd.DataFrame) -> None:
    within = rows[rows.condition == "wd"]
    assert within.protocol.isna().all()
    assert within.level.isna().all()
    shifted = rows[rows.condition != "wd"]
    for (name, protocol), part in shifted.groupby(["condition", "protocol"]):
        analogue = SHIFTS[name].analogue
        assert set(part.level) == ({"analogue"} if analogue else set(SHIFTS[name].averaged)), (name, protocol)
    assert set(shifted.condition) == set(SHIFTS)
    assert set(shifted.protocol) == {"refit", "transfer"}
    keys = ["condition", "level", "protocol", "source_layer", "direction", "fold"]
    assert rows.groupby(keys, dropna=False).size().eq(1).all()
    assert (rows.source_layer == rows.target_layer).all()
    assert set(rows.n_train + rows.n_test) == {30}, "as many stimuli everywhere"


@pytest.mark.slow
def test_rows_are_those_of_the_networks_responses_to_the_shifted_images(place: Path, rows: pd.DataFrame) -> None:
    made = config(place)
    clean, shifted = conditions(made.dataset)
    noise = next(c for c in shifted if (c.name, c.level) == ("uniform-noise", "0.10"))
    assert noise.stimuli.ids == clean.ids, "paired image by image"
    runs = models.trajectories(made.model, made.dataset, folder=place / "cache/networks", device=CPU)
    networks = [run[-1] for run in runs]

    def responses(network: models.Network, images: stimuli.Stimuli) -> dict[str, np.ndarray]:
        model = network.build()
        with taps(model, list(network.layers), network.units) as taken, torch.inference_mode():
            model(network.preprocess(images, range(30)))
            return {name: values.numpy().copy() for name, values in taken.items()}

    (x, y), (x_shifted, y_shifted) = ([responses(n, i) for n in networks] for i in (clean, noise.stimuli))
    refit = align(x_shifted, y_shifted, metrics=["procrustes"], pairs="matched", folds=2)
    sides = [(Arrays(x_shifted, "x"), Arrays(y_shifted, "y"))]
    (carried,) = transfer(Arrays(x, "x"), Arrays(y, "y"), sides, [(n, n) for n in x], metrics=["procrustes"], folds=2)
    mine = rows[(rows.condition == "uniform-noise") & (rows.level == "0.10")]
    for protocol, expected in (("refit", refit), ("transfer", carried)):
        found = mine[mine.protocol == protocol].merge(
            expected,
            left_on=["source_layer", "direction", "fold"],
            right_on=["layer_x", "direction", "fold"],
        )
        assert len(found) == len(expected)
        np.testing.assert_allclose(found.score_x, found.score_y, atol=1e-5)
    answers = networks[0].build()(networks[0].preprocess(noise.stimuli, range(30))).argmax(dim=1)
    accuracy = float((answers == noise.stimuli.labels).double().mean())
    assert mine[mine.direction == "x->y"].source_accuracy.unique() == pytest.approx([accuracy])


@pytest.mark.slow
def test_each_image_is_extracted_once_per_network_and_work_is_stated_before_it_starts(
    place: Path, rows: pd.DataFrame, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(rows)
    logging.getLogger("convergence").propagate = True
    caplog.set_level(logging.INFO, logger="convergence")
    monkeypatch.setattr(activations, "fill", lambda *_: pytest.fail("extracted again"))
    table = experiment.run(config(place, "metric=linear", "axis.protocols=[transfer]"))
    assert set(table.protocol.dropna()) == {"transfer"}
    levels = sum(1 if s.analogue else len(s.averaged) for s in SHIFTS.values())
    assert f"18 comparisons of 2 networks on {levels + 1} sets of stimuli: 0 images to extract, 0 MiB" in caplog.text
    assert list(caplog.messages).index(next(m for m in caplog.messages if "about" in m)) == 0


@pytest.mark.slow
def test_chosen_shifts_and_levels_across_architectures_beside_untrained_ones(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.laid_out(monkeypatch)
    words = ("metric=procrustes", "dataset.conditions=[contrast,rotation]", "dataset.levels=[c05,90]")
    table = experiment.run(config(place, *words, "model@against=tiny_vgg", "axis.untrained=true", *against()))
    shifted = table[table.condition != "wd"]
    assert set(zip(shifted.condition, shifted.level, strict=True)) == {("contrast", "c05"), ("rotation", "90")}
    assert set(table.source_model) == {"tiny_resnet", "tiny_vgg"}
    assert set(table.source_step) == {0, 2}
    names = {path.name for path in figures.draw(table, place / "figures")}
    assert "ood_profile.png" in names


def against() -> tuple[str, ...]:
    return (
        "against.training.epochs=1",
        "against.training.early_checkpoints=0",
        "against.layers=[features.0,classifier]",
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("dataset.conditions=[contrasts]", "there is no shift contrasts; did you mean contrast?"),
        ("dataset.levels=[c07]", "no chosen shift has the level c07"),
        ("dataset.stimuli=2", "2 stimuli are too few for 2 folds"),
        ("model.seeds.init=[0]", "has nothing to be compared with"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_the_shifts_are_made(word: str, message: str, tmp_path: Path) -> None:
    words = ("model.training.epochs=0",)
    with pytest.raises(UserError, match=message):
        experiment.run(config(tmp_path, *words, word))
