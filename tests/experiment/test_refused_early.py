"""What can be known before a network runs is refused before it: nothing is extracted, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.commands import main as cli

RUN = [
    *("run", "model=tiny_vgg", "model.training.epochs=0", "dataset=digits", "dataset.stimuli=60"),
    *("dataset.train_images=64", "axis.pairs=matched", "figures=false", "progress=false"),
]
AGAINST = ["model.layers=[features.1]", "model@against=tiny_resnet", "against.training.epochs=0", "against.layers=[fc]"]
CASES: dict[str, tuple[list[str], str]] = {
    "no layers of equal width": (
        [*AGAINST, "metric=permutation", "axis.pairs=all"],
        "needs layers of equal width",
    ),
    "no layers of as many positions": (
        [*AGAINST, "metric=procrustes", "model.units=samples"],
        "no pair of layers has the same number of positions",
    ),
    "samples of a measure that compares stimuli": (
        ["metric.names=[rsa]", "model.units=samples", "model.layers=[features.1]"],
        "can't compare stimuli that have several samples each",
    ),
    "too few stimuli for the folds": (["dataset.stimuli=8"], "too few for 5 folds"),
    "too few stimuli for a measure": (["metric.names=[cka]", "dataset.stimuli=15"], "cka needs at least 4 stimuli"),
    "too few stimuli for a measure in a sweep": (
        ["metric.names=[cka]", "axis.stimuli_sweep=[15]"],
        "cka needs at least 4 stimuli",
    ),
    "too few draws": (["null=shuffle", "null.draws=5"], "ask for 19 draws or more"),
    "more draws than memory holds": (["null=shuffle", "null.draws=2000000000"], "draws of chance"),
    "no such function for a metric": (["metric.names=[nowhere.py:score]"], "nowhere.py"),
    "a layer that is not there": (["model.layers=[conv9]"], "conv9"),
    "a pair wider than the budget": (["memory_gb=1e-6"], "the budget is"),
    "Gram matrices larger than the budget": (
        ["memory_gb=1e-6", "metric.names=[linear]", "model.units=flatten", "model.layers=[features.1]"],
        "the budget is",
    ),
    "a fold larger than the budget": (["memory_gb=1e-5", "metric.names=[cca]"], "the budget is"),
    "responses larger than the budget": (["memory_gb=1e-6", "metric.names=[rsa]"], "the budget is"),
    "a rule that does not apply to maps": (["model.units=cls"], "units=cls"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_before_any_network_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    words, said = CASES[case]
    assert cli.main([*RUN, *words, f"output={tmp_path}"]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("activations"))
