"""Populations: which networks meet, each pair once, and what is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.axes.options import DepthConfig, TrainingAxisConfig
from convergence.commands.words import populations
from convergence.experiment import folder as runs
from convergence.experiment import population
from convergence.experiment import run as experiment
from convergence.experiment.compose import compose
from convergence.experiment.config import Config
from convergence.experiment.members import members
from convergence.models.options import LibraryConfig
from convergence.system.errors import UserError


def plan(*words: str) -> list[Config]:
    return population.units(compose(populations(list(words))))


def titles(*words: str) -> list[str]:
    return [population.title(unit) for unit in plan(*words)]


def test_all_pairs_of_a_population_are_planned_once_and_neighbours_share_no_network() -> None:
    found = titles("model=[tiny_resnet]", "model.seeds.init=[0,1,2,3,4,5,6,7]")
    assert len(set(found)) == len(found) == 28
    for start in range(0, 28, 4):
        met = " ".join(found[start : start + 4]).replace("tiny_resnet", "").split()
        assert sorted(met) == [f"seed{i}" for i in range(8)]


def test_networks_meet_within_an_architecture_across_or_all() -> None:
    words = ["model=[tiny_resnet,{model:tiny_vgg,seeds:{init:[5]}}]", "model.seeds.init=[0,1]"]
    within, across = (titles(*words, f"model.pairing={how}") for how in ("within", "across"))
    assert within == ["tiny_resnet seed0 seed1"]
    assert sorted(across) == ["tiny_resnet seed0 × tiny_vgg seed5", "tiny_resnet seed1 × tiny_vgg seed5"]
    assert sorted(titles(*words)) == sorted(within + across)


def test_one_population_meets_another() -> None:
    found = titles("model=[tiny_resnet]", "model@against=[tiny_vgg,tiny_vit]", "against.seeds.init=[0]")
    assert len(found) == 4
    assert all(" × " in title for title in found)


def test_a_pair_of_a_population_is_the_run_that_its_own_command_makes() -> None:
    of_population = plan("model=[tiny_resnet]", "model.seeds.init=[0,1,2]")
    alone = compose(["model.seeds.init=[0,2]"])
    assert runs.run_folder(alone) in {runs.run_folder(unit) for unit in of_population}


def test_a_population_that_grows_keeps_its_runs_and_has_a_folder_of_its_own() -> None:
    small, large = (compose(["model=population", "model.members=[tiny_vgg]", f"model.seeds.init={s}"]) for s in _SEEDS)
    folders = [{runs.run_folder(unit) for unit in population.units(cfg)} for cfg in (small, large)]
    assert folders[0] < folders[1]
    assert runs.run_folder(small) != runs.run_folder(large)


_SEEDS = ("[0,1,2]", "[0,1,2,3]")


@pytest.mark.parametrize("suffix", [".yaml", ".txt"])
def test_a_file_names_the_same_networks_as_a_list(suffix: str, tmp_path: Path) -> None:
    entries = ["tiny_vgg", "torchvision/resnet18:IMAGENET1K_V1", "timm/resnet18:a1_in1k+a2_in1k"]
    path = tmp_path / f"zoo{suffix}"
    path.write_text("\n".join(f"- {e}" for e in entries) if suffix == ".yaml" else "# mine\n\n" + "\n".join(entries))
    assert titles(f"model={path}") == titles(f"model=[{','.join(entries)}]")
    assert (
        len(titles(f"model={path}")) == 10 + 2
    )  # pairs of five networks; untrained: within timm's, and with torchvision's


def test_untrained_networks_of_pretrained_architectures_are_compared_once() -> None:
    found = plan("model=[timm/resnet18:a1_in1k+a2_in1k+a3_in1k]")
    assert [unit.axis.untrained for unit in found if isinstance(unit.axis, DepthConfig)] == [False] * 3 + [True]
    assert isinstance(found[-1].model, LibraryConfig)
    assert found[-1].model.weights is None


def test_what_belongs_to_one_training_run_is_compared_once() -> None:
    axes = [unit.axis for unit in plan("model=[tiny_resnet]", "model.seeds.init=[0,1,2]", "axis=training")]
    kinds = [(axis.between, axis.baselines) for axis in axes if isinstance(axis, TrainingAxisConfig)]
    assert kinds == [(True, False)] * 3 + [(False, True)] * 3


def test_each_seed_of_a_pattern_of_checkpoints_is_a_member_with_its_points_of_training(tmp_path: Path) -> None:
    from convergence.models import patterns

    for name in ("seed_03_epoch_1.pth", "seed_03_epoch_2.pth", "seed_10_epoch_1.pth"):
        (tmp_path / name).touch()
    pattern = f"{tmp_path}/seed_{{seed}}_epoch_{{epoch}}.pth"
    found = members(LibraryConfig(name="resnet18", checkpoints=pattern))
    runs_of = [patterns.runs(patterns.listed(one.checkpoints)) for one in found if isinstance(one, LibraryConfig)]
    assert [[(run.seed, [f.epoch for f in run.files]) for run in each] for each in runs_of] == [
        [(3, [1.0, 2.0])],
        [(10, [1.0])],
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model=population"], "is no list of networks: give model="),
        (["model=[tiny_resnt]"], r"'tiny_resnt' is no network: give a choice of model.*did you mean tiny_resnet\?"),
        (["model=[{model:tiny_vgg,sneds:3}]"], "Key 'sneds' not in 'RecipeConfig'"),
        (["model=[{library:timm}]"], "missing mandatory value: name"),
        (["model=[{model:tiny_vgg,training:{epochs:-1}}]"], "model.members: training.epochs=-1 is out of bounds"),
        (["model=[{model:tiny_vg}]"], r"there is no choice model=tiny_vg; did you mean tiny_vgg\?"),
        (["model=[{model:nothing}]"], "there is no choice model=nothing; the choices are"),
        (["model=nowhere.yaml"], "model=nowhere.yaml: there is no such file"),
        (["model=[tiny_vgg,tiny_vgg]"], "names tiny_vgg seed0 twice"),
        (
            ["model=[tiny_vgg]", "model.pairing=across"],
            r"no two networks of the population meet \(model.pairing=across",
        ),
        (["model=[tiny_vgg]", "model.seeds.init=[0]"], "no two networks of the population meet"),
    ],
)
def test_populations_that_are_not_understood_are_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        plan(*words)


def test_a_part_that_the_population_no_longer_has_is_refused(tmp_path: Path) -> None:
    words = ["model=population", "model.members=[tiny_vgg]", "model.part=[c0000000000]", f"output={tmp_path}"]
    with pytest.raises(UserError, match="has changed since this sweep began"):
        experiment.run(compose(words))
