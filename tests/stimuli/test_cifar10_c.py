"""CIFAR-10-C is paired with CIFAR-10 row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from convergence.stimuli.base import ArrayStimuli
from convergence.stimuli.conditions import conditions as module
from convergence.stimuli.conditions.conditions import conditions
from convergence.stimuli.options import DatasetConfig, ShiftSource
from convergence.system.errors import UserError
from tests.support.shifted_sets import config


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's test split, its first pixel numbering the images, and a corruption whose blue is the severity."""
    labels = np.arange(10_000) % 10
    plain = torch.zeros(10_000, 3, 32, 32, dtype=torch.uint8)
    plain[:, 0, 0, 0], plain[:, 1, 0, 0] = torch.arange(10_000) // 256, torch.arange(10_000) % 256

    def load(options: DatasetConfig, split: str) -> ArrayStimuli:
        rows = torch.tensor([7, 4321, 9999, 0, 256][: options.stimuli])
        ids = tuple(f"cifar10-test-{int(row)}" for row in rows)
        return ArrayStimuli("cifar10", tuple("abcdefghij"), ids, torch.tensor(labels)[rows], "f", array=plain[rows])

    monkeypatch.setattr(module, "load", load)
    (tmp_path / "sets").mkdir()
    images = np.lib.format.open_memmap(tmp_path / "sets/fog.npy", "w+", np.uint8, (50_000, 32, 32, 3))
    for severity in range(5):
        part = images[severity * 10_000 : (severity + 1) * 10_000]
        part[:, 0, 0, 0], part[:, 0, 0, 1] = np.arange(10_000) // 256, np.arange(10_000) % 256
        part[:, 0, 0, 2] = severity + 1
    images.flush()
    np.save(tmp_path / "sets/labels.npy", np.tile(labels, 5))
    return tmp_path


@pytest.mark.parametrize("each", [1, 5])
def test_cifar10_c_is_paired_row_by_row(cifar: Path, each: int) -> None:
    np.save(cifar / "sets/labels.npy", np.tile(np.arange(10_000) % 10, each))
    within, found = conditions(config(cifar, ShiftSource.cifar10_c, name="cifar10", stimuli=4))
    assert [(c.name, c.level, c.averaged) for c in found] == [("fog", s, True) for s in "12345"]
    for c in found:
        assert (c.stimuli.ids, c.stimuli.labels.tolist()) == (within.ids, within.labels.tolist())
        pixels, plain = c.stimuli.pixels([2, 0]), within.pixels([2, 0])
        assert pixels is not None
        assert plain is not None
        assert torch.equal(pixels[:, :2], plain[:, :2])
        assert pixels[:, 2, 0, 0].tolist() == [int(c.level)] * 2
        assert c.stimuli.image(1).getpixel((0, 0)) == (4321 // 256, 4321 % 256, int(c.level))
    assert len({c.stimuli.fingerprint for c in found}) == 5


def test_broken_files_of_cifar10_c_are_refused(cifar: Path) -> None:
    options = config(cifar, ShiftSource.cifar10_c, name="cifar10")
    np.save(cifar / "sets/labels.npy", np.zeros(10_000))
    with pytest.raises(UserError, match=r"labels.npy gives another class to cifar10-test-7 than CIFAR-10 does"):
        conditions(options)
    np.save(cifar / "sets/labels.npy", np.zeros(1_000))
    with pytest.raises(UserError, match=r"holds \(1000,\) labels, neither 10,000 nor 50,000"):
        conditions(options)
    np.save(cifar / "sets/labels.npy", np.arange(10_000) % 10)
    np.save(cifar / "sets/fog.npy", np.zeros((10, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"fog.npy holds uint8 \(10, 32, 32, 3\), not 8 bits of"):
        conditions(options)
    (cifar / "sets/fog.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"fog.npy is broken"):
        conditions(options)
    (cifar / "sets/labels.npy").unlink()
    with pytest.raises(UserError, match=r"lacks <corruption>.npy and labels.npy"):
        conditions(options)
    with pytest.raises(UserError, match=r"use dataset=cifar10, not imagenet"):
        conditions(config(cifar, ShiftSource.cifar10_c))
