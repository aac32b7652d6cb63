"""Shifts in folders of any name: none is mistaken for what lies within distribution, or for another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convergence.commands.main import main
from convergence.results import table as results

ODD = ("wd", "a\tb", "a,b", "Nebel über Köln", "x" * 200, "wd (folder)x")


def test_shift_folders_of_any_name_are_conditions_and_shards_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ODD:
        for digit in "01":
            for i in range(10):
                path = tmp_path / "shifts" / name / digit / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(noise).save(path)
    words = ["dataset=digits", "dataset.shifts=image_folder", "dataset.shifts_root=shifts", "metric=procrustes"]
    words += ["model=tiny_vgg", "model.train=false", "metric.folds=2", "figures=false", "axis=ood", "device=cpu"]
    assert main(["run", *words, "axis.protocols=[refit]"]) in (0, None), capsys.readouterr().err
    table = results.read([next(tmp_path.glob("outputs/ood/*/results.parquet"))])
    assert set(table.condition) == {"wd", "wd (folder)", *ODD[1:]}
    assert table.groupby("condition").size().nunique() == 1
