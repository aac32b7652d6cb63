"""The training axis: the same checkpoints of independent networks, any two of them, and other people's runs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from convergence import figures
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.config import Config
from convergence.figures.summary import summary
from convergence.models import load as models
from convergence.models import training
from convergence.models.options import Augmentation, RecipeConfig, Schedule, TrainingConfig
from convergence.results import views as tables
from convergence.stimuli.options import ShapesConfig
from convergence.system import torchvision_ops
from convergence.system.errors import UserError
from tests.support.recipes import SMALL as IMAGES
from tests.support.recipes import recipe

CPU = torch.device("cpu")
KEYS = [
    "source_weights",
    "target_weights",
    "source_step",
    "target_step",
    "source_layer",
    "target_layer",
    "metric",
    "fold",
]


def config(place: Path, *words: str) -> Config:
    return compose(
        [
            *(
                "dataset=digits",
                "dataset.stimuli=200",
                "dataset.train_images=128",
                "model.layers=[conv1,layer3.conv2,fc]",
            ),
            *("model.training.epochs=2", "model.training.early_checkpoints=1", "metric.folds=2"),
            *(f"output={place}", f"cache={place}/cache", *words),
        ]
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def crossed(place: Path) -> pd.DataFrame:
    return experiment.run(config(place, "axis=training", "axis.cross_time=true", "model.seeds.init=[0,1,2]"))


@pytest.mark.slow
def test_seeds_are_compared_at_the_same_points_of_training(place: Path, crossed: pd.DataFrame) -> None:
    table = experiment.run(config(place, "axis=training", "model.seeds.init=[0,1,2]"))
    rows = tables.networks(table)
    assert sorted(rows.source_step.unique()) == [0, 1, 2, 4]
    assert (rows.source_step == rows.target_step).all()
    assert (rows.source_layer == rows.target_layer).all()
    assert rows.groupby(KEYS).size().eq(1).all()
    assert len(set(tables.pair(rows))) == 3
    # Each point alone is a part of each point with each other one.
    both = rows.merge(crossed, on=KEYS, suffixes=("", "_crossed"))
    assert len(both) == len(rows)
    np.testing.assert_allclose(both.score, both.score_crossed, atol=1e-6)


@pytest.mark.slow
def test_many_checkpoints_in_one_pass_score_as_two_networks_alone(place: Path, crossed: pd.DataFrame) -> None:
    alone = experiment.run(config(place, "axis=depth", "axis.pairs=matched", "model.seeds.init=[0,1,2]"))
    both = alone.merge(crossed, on=KEYS, suffixes=("", "_crossed"))
    assert len(both) == len(alone)
    np.testing.assert_allclose(both.score, both.score_crossed, atol=1e-6)
    np.testing.assert_allclose(both.score_global, both.score_global_crossed, atol=1e-6)


@pytest.mark.slow
def test_a_network_is_its_own_end(crossed: pd.DataFrame) -> None:
    source, target = tables.ends(crossed)
    own = crossed[(source == target) & (crossed.source_step == crossed.target_step)]
    assert len(own)
    assert (own.score > 0.999).all()


@pytest.mark.slow
def test_raw_pixels_are_compared_with_each_trained_network(crossed: pd.DataFrame) -> None:
    pixels = crossed[crossed.source_model == tables.PIXELS]
    assert set(pixels.target_weights) == {"seed0", "seed1", "seed2"}
    assert set(pixels.metric) == {"linear", "procrustes", "soft_matching"}
    assert pixels.source_units.max() <= 768
    assert pixels.source_step.isna().all()


@pytest.mark.slow
def test_figures_and_tables_are_drawn_from_rows_alone(crossed: pd.DataFrame, tmp_path: Path) -> None:
    names = {path.name for path in figures.draw(crossed, tmp_path)}
    assert names == {
        *(f"training_{what}.{kind}" for what in ("profile", "rise", "time") for kind in ("pdf", "png")),
        *("rise.csv", "milestones.csv"),
    }
    assert {"all layers", "conv1", "fc"} <= set(pd.read_csv(tmp_path / "rise.csv").layer)
    text = summary(crossed)
    assert "95 % over seeds" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_a_subset_of_checkpoints_is_named_by_epochs(place: Path) -> None:
    table = experiment.run(config(place, "axis=training", "axis.checkpoints=[0,0.5,2]", "metric=procrustes"))
    assert sorted(tables.networks(table).source_step.unique()) == [0, 1, 4]
    assert "two seeds give no interval" in summary(table)
    wrong = config(place, "axis=training", "axis.checkpoints=[0,3]")
    with pytest.raises(UserError, match=r"axis.checkpoints names 3, which .* they have 0, 0.5, 1, 2"):
        experiment.run(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("varied", ["order", "init"])
def test_one_seed_is_varied_while_the_other_is_held(varied: str, place: Path) -> None:
    held = {"order": "init", "init": "order"}[varied]
    words = (f"model.seeds.{varied}=[0,1]", f"model.seeds.{held}=[1]", "axis.checkpoints=[0,2]", "metric=procrustes")
    table = experiment.run(config(place, "axis=training", *words))
    rows = tables.networks(table)
    labels = {"order": ["init1-order0", "init1-order1"], "init": ["init0-order1", "init1-order1"]}[varied]
    assert sorted({*rows.source_weights, *rows.target_weights}) == labels
    assert tables.subject(table) == f"tiny_resnet {', '.join(labels)} on digits"
    at_start, at_end = rows[rows.source_step == 0], rows[rows.source_step == 4]
    assert at_end.score.min() < 0.999
    assert (at_start.score > 0.999).all() == (varied == "order"), "one initialisation is one untrained network"


@pytest.mark.slow
def test_permutation_without_a_common_width_names_its_extension(place: Path) -> None:
    words = ("metric=permutation", "model@against=tiny_vgg", "against.training.epochs=0", "model.training.epochs=0")
    narrow = ("model.layers=[conv1]", "against.layers=[features.7]", "model.seeds.init=[0]", "against.seeds.init=[0]")
    with pytest.raises(UserError, match="no pair of layers has that: use soft_matching, its extension"):
        experiment.run(config(place, "axis=depth", *words, *narrow))


# ---------------------------------------------------------------- other people's training runs


def save_runs(root: Path, points: dict[int, tuple[int, ...]]) -> str:
    """Checkpoints of a small network for 10 classes, by seed and epoch."""
    torchvision_ops.ensure()
    from torchvision.models import shufflenet_v2_x0_5

    for seed, epochs in points.items():
        for epoch in epochs:
            torch.manual_seed(100 * seed + epoch)
            (root / f"seed_{seed}").mkdir(parents=True, exist_ok=True)
            state = {f"module.{k}": v for k, v in shufflenet_v2_x0_5(num_classes=10).state_dict().items()}
            torch.save({"state_dict": state, "epoch": epoch}, root / f"seed_{seed}" / f"epoch_{epoch}.pth")
    return f"{root}/seed_{{seed}}/epoch_{{epoch}}.pth"


def theirs(place: Path, pattern: str, *words: str) -> Config:
    images = ("dataset=digits", "dataset.stimuli=64", "model.image_size=32")
    model = ("model=torchvision", "model.name=shufflenet_v2_x0_5", f"model.checkpoints='{pattern}'")
    return compose([*images, *model, "axis=training", f"output={place}/o", f"cache={place}/c", *words])


@pytest.mark.slow
def test_a_pattern_finds_runs_pairs_equal_points_and_says_what_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    pattern = save_runs(tmp_path / "runs", {3: (1, 2, 10), 4: (2, 10), 11: (1, 2, 10, 20)})
    made = theirs(tmp_path, pattern, "metric=procrustes", "model.layers=[conv1.0,fc]")
    table = tables.networks(experiment.run(made))
    assert sorted(table.source_epoch.unique()) == [0, 2, 10], "untrained, and the points that all seeds have"
    assert len(set(tables.pair(table))) == 3, "all pairs of three runs"
    assert (table.source_epoch == table.target_epoch).all()
    assert set(table.source_seed) == {3, 4, 11}
    assert table.source_accuracy.notna().all(), "ten outputs are taken for the ten classes"
    for sentence in ("seed3 lacks the checkpoints 20", "seed4 lacks the checkpoints 1, 20, which are left out"):
        assert sentence in caplog.text
    assert "seed11 lacks" not in caplog.text
    assert "no checkpoint before training" in caplog.text


def test_epochs_of_one_run_never_meet_steps_of_another(tmp_path: Path) -> None:
    epochs = save_runs(tmp_path / "a", {0: (1, 10)})
    save_runs(tmp_path / "b", {0: (1, 10)})
    for path in (tmp_path / "b" / "seed_0").iterdir():
        path.rename(path.with_name(path.name.replace("epoch", "step")))
    steps = epochs.replace("/a/", "/b/").replace("epoch_{epoch}", "step_{step}")
    other = ("model@against=torchvision", "against.name=shufflenet_v2_x0_5", f"against.checkpoints='{steps}'")
    with pytest.raises(UserError, match=r"tell epochs and those of .* steps, so that none are of the same point"):
        experiment.run(theirs(tmp_path, epochs, *other, "against.image_size=32"))


@pytest.mark.slow
def test_single_networks_are_no_training_run(tmp_path: Path) -> None:
    pattern = save_runs(tmp_path, {0: (1,), 1: (2,)})
    with pytest.raises(UserError, match="needs two points of training that all runs have"):
        experiment.run(theirs(tmp_path, pattern))
    untrained = theirs(tmp_path, pattern, "model.checkpoints=null", "model.seeds.init=[0,1]")
    with pytest.raises(UserError, match=r"is one network, not a training run: name its checkpoints by a pattern"):
        experiment.run(untrained)


# ---------------------------------------------------------------- training itself


def last(made: RecipeConfig, folder: Path, dataset: ShapesConfig = IMAGES) -> str:
    return models.trajectories(made, dataset, folder=folder, device=CPU)[0][-1].weights_hash


def short(**options: object) -> RecipeConfig:
    """One epoch, with these options of training."""
    made = recipe()
    made.training = replace(made.training, epochs=1, **{"batch_size": 32, **options})  # type: ignore[arg-type]
    return made


FEW = ShapesConfig(size=16, stimuli=20, train_images=128)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights without any option."""
    return last(short(), tmp_path_factory.mktemp("usual"), FEW)


@pytest.mark.parametrize(
    "options",
    [
        {"augment": []},
        {"augment": [Augmentation.flip]},
        {"schedule": Schedule.constant},
        {"mixed_precision": True},
        {"batch_size": 16},
    ],
    ids=str,
)
def test_each_option_of_training_changes_the_weights_and_stays_deterministic(
    options: dict, tmp_path: Path, usual: str
) -> None:
    first = last(short(**options), tmp_path / "a", FEW)
    assert first == last(short(**options), tmp_path / "b", FEW)
    assert first != usual


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.0), ("linear", 0.0), ("constant", 0.1)])
def test_schedules_warm_up_and_end_where_they_say(schedule: str, end: float) -> None:
    options = TrainingConfig(schedule=Schedule(schedule), learning_rate=0.1, warmup=0.1)
    rates = [training.learning_rate_at(options, step, 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(end)
    assert np.diff(rates[100:]).max() <= 1e-12


def test_weights_that_break_behind_a_finite_loss_never_become_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.train_step

    def broken(model: torch.nn.Module, *rest: object) -> float:
        loss = real(model, *rest)  # type: ignore[arg-type]
        if broken.count == 8:  # type: ignore[attr-defined]
            next(model.parameters()).data.fill_(torch.nan)
        broken.count += 1  # type: ignore[attr-defined]
        return loss

    broken.count = 1  # type: ignore[attr-defined]
    monkeypatch.setattr(training, "train_step", broken)
    with pytest.raises(UserError, match="diverged at step 8 "):
        last(recipe(), tmp_path)
    assert [p.name for p in sorted(tmp_path.glob("*/step-*"))][-1] == "step-0000004.safetensors"
