"""What there is to choose from: helps, lists, and choices that compose."""

from __future__ import annotations

import pytest

from convergence.commands import main as cli
from convergence.experiment.compose import compose, conf_folder


@pytest.mark.parametrize("name", ["figure", "report", "list", "status", "cache"])
def test_each_command_has_a_help_of_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert f"\n    {name} " in capsys.readouterr().out
    assert cli.main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"usage: convergence {name}" in told
    assert max(map(len, told.splitlines())) <= 80


def test_help_of_run_lists_every_choice_and_the_composed_config_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--help"]) == 0
    whole = capfd.readouterr().out
    assert all(path.stem in whole for path in conf_folder().glob("*/*.yaml"))
    assert "schema" not in whole
    assert cli.main(["run", "--cfg", "job", "axis=depth", "metric=procrustes", "model@against=null"]) == 0
    composed = capfd.readouterr().out
    assert "- procrustes" in composed
    assert "against: null" in composed


def test_the_config_is_shown_by_a_flag_before_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--cfg", "job", "run", "metric=procrustes"]) == 0
    assert "- procrustes" in capfd.readouterr().out


def test_lists_can_be_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> str:
        assert cli.main(["list", *words]) == 0
        return capsys.readouterr().out

    assert told("metrics").startswith("linear")
    assert "resnet18" in told("models", "resnet1*")
    assert "layer3.conv2" in told("layers", "tiny_resnet")


@pytest.mark.parametrize("group", ["model", "dataset", "metric", "axis", "null"])
def test_every_choice_of_every_group_composes(group: str) -> None:
    for path in sorted((conf_folder() / group).glob("*.yaml")):
        made = compose([f"{group}={path.stem}"])
        assert getattr(made, group) is not None
