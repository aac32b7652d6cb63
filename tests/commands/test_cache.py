"""What fills the disk is listed, and goes by model, age and size; what is in use stays."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from convergence.activations.cache import Entry
from convergence.activations.upkeep import prune
from convergence.commands import main as cli
from convergence.system.claims import only_one
from convergence.system.files import write_atomic


def test_the_cache_is_listed_and_pruned_by_model_age_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def entry(name: str, model: str, days: float) -> Path:
        made = Entry(tmp_path / "activations" / name)
        made.write_chunk(0, {"layer": torch.zeros(250_000)})
        about = {"model": model, "weights": "seed0", "stimuli": "digits"}
        made.finish([0], ["layer"], ["0"], torch.zeros(1), about)
        then = time.time() - days * 86400
        os.utime(made.folder / "index.json", (then, then))
        return made.folder

    old, new, vgg, used = entry("a", "resnet", 40), entry("b", "resnet", 2), entry("c", "vgg", 3), entry("d", "vgg", 0)
    folder = f"folder={tmp_path}"

    def cache(*words: str) -> str:
        assert cli.main(["cache", *words, folder]) == 0
        return capsys.readouterr().out

    listed = cache("list")
    assert "4.0 MB in 4 entries" in listed
    assert listed.count("in use") == 1
    assert "2.0 MB in 2 entries" in cache("list", "model=vgg*")
    assert "1.0 MB in 1 entries would be removed" in cache("prune", "older=30d", "--dry-run")
    assert old.exists()
    assert "1.0 MB in 1 entries removed" in cache("prune", "older=30d")
    assert not old.exists()
    assert "vgg seed0 on digits" in cache("prune", "keep=2.5MB")  # the least recently used
    assert not vgg.exists()
    assert new.exists()
    assert "0 entries removed" in cache("prune", "model=vgg")  # in use
    assert used.exists()
    assert "1 entries removed" in cache("prune", "model=resnet")
    assert cache("list").count("\n") == 4  # the heads and a rule, the one in use, and the sum


def test_trained_networks_and_what_is_claimed_stay_unless_asked_for(tmp_path: Path) -> None:
    network = tmp_path / "networks" / "tiny_vgg-digits-seed0-0123"
    write_atomic(network / "step-0000000.safetensors", lambda path: path.write_bytes(b"x"))
    left_behind = network / ".step.tmp"
    left_behind.touch()
    os.utime(left_behind, (0, 0))
    assert prune(tmp_path, model="*") == []
    with only_one(network / "lock", ""):
        assert prune(tmp_path, model="*", networks=True) == []
    assert not left_behind.exists()
    assert len(prune(tmp_path, model="tiny*", networks=True)) == 1
    assert not network.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["prune"], "needs something to go by"),
        (["prune", "older=3"], "older=3 is no amount: give a number with min, h, d"),
        (["prune", "keep=3GiB"], "keep=3GiB is no amount"),
        (["prune", "all"], "'all' is no option"),
        (["list", "folder=/nowhere"], "/nowhere is no folder"),
        (["shrink"], "cache shrink is not known"),
    ],
)
def test_cache_commands_that_are_not_understood_are_refused(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = [] if any("folder" in w for w in words) else [f"folder={tmp_path}"]
    assert cli.main(["cache", *words, *folder]) == 1
    assert sentence in capsys.readouterr().err


def test_decoded_images_are_listed_and_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = Entry(tmp_path / "pixels" / "0123456789ab")
    images.write_chunk(0, {"pixels": torch.zeros(1_000_000, dtype=torch.uint8)})
    assert cli.main(["cache", "list", f"folder={tmp_path}"]) == 0
    assert "pixels  decoded images 01234567" in " ".join(capsys.readouterr().out.split("in use")[0].split(" ago"))[-60:]
    assert prune(tmp_path, older=0) == []  # just written
    for path in images.folder.iterdir():
        os.utime(path, (0, 0))
    assert cli.main(["cache", "prune", "older=1d", f"folder={tmp_path}"]) == 0
    assert "1.0 MB in 1 entries removed" in capsys.readouterr().out
    assert not images.folder.exists()
