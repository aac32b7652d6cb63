"""Training that is interrupted, disturbed or done twice: the weights are an undisturbed run's, or it is said."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convergence.models import training, training_folder
from convergence.models.optimiser import Optimiser
from convergence.models.options import Optimizer, TrainingConfig
from convergence.models.training import Images, TrainingRun, train
from convergence.models.training_folder import Checkpoint
from convergence.system.errors import UserError

OPTIONS = TrainingConfig(epochs=2, batch_size=8, early_checkpoints=2, learning_rate=0.05, optimizer=Optimizer.adamw)
CPU = torch.device("cpu")


def build() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3))


def images() -> Images:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (32, 3, 8, 8), generator=generator).byte()
    return Images(pixels, torch.arange(32) % 3, lambda part: part.float() / 255)


def trained(folder: Path, seed: int = 0) -> list[Checkpoint]:
    return train(TrainingRun("a network", build, images, 32, OPTIONS, seed), folder, CPU)


def hashes(folder: Path, seed: int = 0) -> list[str]:
    return [checkpoint.weights_hash for checkpoint in trained(folder, seed)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return hashes(tmp_path_factory.mktemp("whole"))


def stopped(folder: Path, monkeypatch: pytest.MonkeyPatch, after: int = 6) -> None:
    """Train until a step in the second epoch, and no further."""
    real, steps = training.train_step, iter(range(10**6))

    def step(*arguments: object) -> float:
        if next(steps) == after:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", step)
        with pytest.raises(KeyboardInterrupt):
            trained(folder)


def test_a_network_with_dropout_goes_on_to_the_weights_of_an_undisturbed_run(
    tmp_path: Path, undisturbed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(tmp_path, monkeypatch)
    torch.manual_seed(12345)  # whatever the process drew before
    assert hashes(tmp_path) == undisturbed


def _flip(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 16
    return bytes(changed)


@pytest.mark.parametrize(
    "damage", [_flip, lambda content: content[:-7], lambda _: b"", lambda content: content[32:]], ids=range(4)
)
def test_a_damaged_state_never_gives_other_weights(
    damage: object, tmp_path: Path, undisturbed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(tmp_path, monkeypatch)
    (tmp_path / "resume.pt").write_bytes(damage((tmp_path / "resume.pt").read_bytes()))  # type: ignore[operator]
    assert hashes(tmp_path) == undisturbed


@pytest.mark.parametrize("error", [RuntimeError("a state of another torch"), ValueError("other groups")], ids=str)
def test_a_state_that_loads_in_part_leaves_nothing_behind(
    error: Exception,
    tmp_path: Path,
    undisturbed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    stopped(tmp_path, monkeypatch)

    def refuse(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Optimiser, "load_state_dict", refuse)  # the network's weights are loaded by then
        assert hashes(tmp_path) == undisturbed
    assert "training starts over" in caplog.text


def test_a_full_device_is_said_and_what_is_done_stays(
    tmp_path: Path, undisturbed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(tmp_path, monkeypatch)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Optimiser, "load_state_dict", full)
        with pytest.raises(UserError, match=r"does not fit into the memory of cpu: .*batch_size"):
            trained(tmp_path)
    assert (tmp_path / "step-0000004.safetensors").exists()
    assert hashes(tmp_path) == undisturbed


def test_weights_are_those_whose_hash_was_read_or_it_is_said(tmp_path: Path) -> None:
    read = trained(tmp_path / "a")[-1]
    other = trained(tmp_path / "b", seed=1)[-1]
    read.weights()
    os.replace(other.path, read.path)  # another job trained the network meanwhile, to other weights
    with pytest.raises(UserError, match=r"step-0000008.* trained again since this run read it: give the same command"):
        read.weights()
    read.path.unlink()
    with pytest.raises(UserError, match="was removed, damaged or trained again"):
        read.weights()


def test_checkpoints_of_two_trainings_are_no_training_run(tmp_path: Path, undisturbed: list[str]) -> None:
    trained(tmp_path / "mixed")
    for checkpoint in trained(tmp_path / "other", seed=1)[2:4]:  # each file is whole
        os.replace(checkpoint.path, tmp_path / "mixed" / checkpoint.path.name)
    assert hashes(tmp_path / "mixed") == undisturbed


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1])
def test_any_seed_trains_and_is_another_one(seed: int, tmp_path: Path, undisturbed: list[str]) -> None:
    assert hashes(tmp_path, seed) not in ([], undisturbed)


def test_checkpoints_that_were_just_written_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = training_folder.safe_open
    monkeypatch.setattr(training_folder, "safe_open", lambda path, **how: opened.append(path) or real(path, **how))
    first = trained(tmp_path)
    assert not opened
    assert trained(tmp_path) == first
    assert opened == [checkpoint.path for checkpoint in first]  # by a process that did not write them


def test_step_0_is_the_untrained_network(tmp_path: Path) -> None:
    first = trained(tmp_path)[0]
    weights: dict[str, Tensor] = first.weights()
    assert first.step == 0
    assert all(torch.equal(weights[name], value) for name, value in build().state_dict().items())
