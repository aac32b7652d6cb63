"""What does not fit is refused by the plan, before anything is extracted, with ways out that work."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.commands import main as cli
from convergence.experiment.estimate import duration

RUN = [
    *(
        "run",
        "model=tiny_vgg",
        "model.training.epochs=0",
        "model.layers=[features.1,classifier]",
        "model.units=flatten",
    ),
    *("dataset=digits", "dataset.stimuli=60", "dataset.train_images=64", "axis.pairs=matched", "figures=false"),
    *("progress=false", "memory_gb=0.1", "axis.untrained=false"),
]


def run(place: Path, *words: str) -> int:
    return cli.main([*RUN, f"output={place}", *words])


@pytest.mark.parametrize("words", [[], ["null=shuffle", "null.draws=19"]], ids=["plain", "with chance"])
def test_wide_layers_are_refused_before_extraction_with_their_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(tmp_path, *words) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "scoring features.1 × features.1" in said
    assert " GiB, and about " in said  # so long
    assert "the budget is 0.1 GiB (memory_gb)" in said
    assert "model.units=center or mean" in said
    assert "leave such layers out (model.layers)" in said
    assert not list(tmp_path.rglob("activations"))


@pytest.mark.parametrize("way", ["metric.names=[linear,procrustes]", "model.units=center", "model.layers=[classifier]"])
def test_each_way_out_that_the_refusal_names_works(tmp_path: Path, way: str) -> None:
    assert run(tmp_path, way) == 0


def test_a_budget_that_the_machine_has_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "model.units=center", "memory_gb=1e-5") == 1
    assert "give memory_gb=0.1 or leave such layers out" in capsys.readouterr().err
    assert run(tmp_path, "model.units=center", "memory_gb=0.1") == 0


def test_a_metric_that_does_not_apply_to_a_wide_pair_refuses_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "axis.pairs=all", "metric=permutation", "model.units=center") == 0


def test_the_plan_tells_the_memory_of_what_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("model.units=center", "axis.pairs=all", "model.layers=[features.*]", "metric=procrustes", "metric.folds=2")
    told = []
    for budget in ("1", "0.002"):
        assert run(tmp_path / budget, *words, f"memory_gb={budget}") == 0
        line = next(line for line in capsys.readouterr().err.splitlines() if "MiB of memory" in line)
        told.append(float(line.split(" MiB of memory")[0].rsplit(" ", 1)[1].replace(",", "")))
    assert 0 < told[1] <= 2.05 < told[0]


def test_the_plan_tells_what_the_whole_process_will_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "model.units=center") == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "MiB of memory" in line)
    whole = float(line.split(" with the program")[0].rsplit("(", 1)[1].replace(",", ""))
    assert 100 < whole < 100_000
    assert line.endswith(" to extract and score.")  # no figures are asked for


def test_levels_that_do_not_fit_together_are_planned_and_scored_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("model.layers=[classifier]", "model.units=center", "axis=ood", "axis.protocols=[transfer]")
    words = (*(word for word in RUN[1:] if not word.startswith("axis.")), *words, "dataset.conditions=[uniform-noise]")
    said = []
    for budget in ("1", "7e-5"):
        assert cli.main(["run", *words, f"output={tmp_path / budget}", f"memory_gb={budget}"]) == 0
        said.append(capsys.readouterr().out.split("results")[0])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.1, "1 s"), (89, "89 s"), (600, "10 min"), (3 * 3600, "3.0 h"), (72 * 3600, "3 days"), (1.2e8, "1,389 days")],
)
def test_times_are_told_in_the_unit_that_people_would_take(seconds: float, said: str) -> None:
    assert duration(seconds) == said
