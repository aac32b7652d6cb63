"""On a CPU networks are extracted side by side, a thread each: the same numbers, and nothing is made twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event

import pandas as pd
import pytest
import torch

from convergence import run
from convergence.experiment import beside
from convergence.experiment.compose import compose
from convergence.models.seeded import seeded
from convergence.stimuli.load import load
from convergence.stimuli.shifts.kept import Kept
from convergence.system.errors import UserError
from convergence.system.threads import one_thread, shared_by, side_by_side
from tests.activations.test_read_once import images
from tests.support.folders import NETWORKS, SCORES, pictures
from tests.support.networks import network

CPU = torch.device("cpu")
OWN = """
import threading, time, torch
from torch import nn

inside = threading.Lock()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        assert inside.acquire(blocking=False), "two threads in here at once"
        try:
            time.sleep(0.02)
            return self.two(self.one(x)).mean((2, 3))
        finally:
            inside.release()

class Images:
    def __len__(self):
        return 40

    def __getitem__(self, i):
        assert inside.acquire(blocking=False), "two threads in here at once"
        try:
            time.sleep(0.005)
            return torch.full((3, 8, 8 + i % 2), 0.01 * i), i % 2
        finally:
            inside.release()
"""


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three, wherever the tests run."""
    monkeypatch.setattr("convergence.system.cores.available", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(["axis=depth", "axis.untrained=true"], id="one set, four networks"),
        pytest.param(["axis=ood", "dataset.conditions=[contrast,phase-scrambling,rotation]"], id="many sets"),
        pytest.param(["axis=depth", "cache_gb=1e-9", "model.units=samples"], id="nothing is kept"),
    ],
)
def test_rows_are_the_same_on_one_thread_and_on_three(more: list[str], tmp_path: Path) -> None:
    place = pictures(tmp_path / "images")
    tables = []
    for count in (1, 3):
        torch.set_num_threads(count)
        data = ("dataset=image_folder", f"dataset.root={place}", "dataset.stimuli=6")
        scores = ("metric=procrustes", "metric.folds=2", "model.seeds.init=[0,1]", f"output={tmp_path / str(count)}")
        cfg = compose([*data, *NETWORKS, *scores, *more])
        tables.append(run(cfg).drop(columns=["run"]))
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_threads_are_shared_anew_when_one_of_several_ends() -> None:
    torch.set_num_threads(6)
    with shared_by(2):
        assert torch.get_num_threads() == 3
        with one_thread() as there:
            assert (there, torch.get_num_threads()) == (6, 1)
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 6


def test_three_networks_are_at_work_at_once_and_share_the_threads() -> None:
    met, threads = Barrier(3), []

    def work(_: int) -> None:
        met.wait(timeout=30)  # broken, if they come one after the other
        threads.append(torch.get_num_threads())

    torch.set_num_threads(6)
    side_by_side(work, range(3), 3, Event())
    assert threads == [2, 2, 2]
    assert torch.get_num_threads() == 6


def test_when_one_fails_those_at_work_are_told_and_the_others_never_begin() -> None:
    over, begun = Event(), []

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise UserError("this one is broken")
        assert over.wait(30)

    with pytest.raises(UserError, match="this one is broken"):
        side_by_side(work, range(50), 2, over)
    assert len(begun) < 50


def test_a_users_network_and_data_set_are_never_in_two_threads_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    own = f"{tmp_path / 'own.py'}:"
    data = ["dataset=module", f"dataset.factory={own}Images", "dataset.stimuli=6"]
    ours = ["model=tiny_vgg", "model.training.epochs=0", "model.layers=[classifier]", "model.seeds.init=[0,1,2]"]
    theirs = ["model=module", f"model.factory={own}Net", "model.seeds.init=[0,1,2]"]
    stimuli = load(compose(data).dataset, "test")
    side_by_side(lambda _: stimuli.each(range(6), lambda image: image.size), range(3), 3, Event())
    for number, model in enumerate((ours, theirs)):
        assert len(run(compose([*data, *model, *SCORES, f"output={tmp_path / str(number)}"])))


def test_pixels_that_two_threads_want_are_made_once_and_other_lists_do_not_wait() -> None:
    kept, made, met = Kept(10**6), [], Barrier(2)

    def make(chosen: torch.Tensor) -> torch.Tensor:
        made.append(chosen.tolist())
        time.sleep(0.05)
        return chosen[:, None, None, None].expand(-1, 3, 2, 2).to(torch.uint8)

    def waiting(chosen: torch.Tensor) -> torch.Tensor:
        met.wait(timeout=30)
        return make(chosen)

    rows = torch.arange(5)
    side_by_side(lambda _: kept.pixels("same", rows, 5, make), range(3), 3, Event())
    assert made == [[0, 1, 2, 3, 4]]
    side_by_side(lambda key: kept.pixels(key, rows, 5, waiting), ["one", "other"], 2, Event())
    assert len(made) == 3


def test_drawings_that_three_threads_want_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stimuli = load(compose(["dataset=shapes", "dataset.stimuli=40"]).dataset, "test")
    drawn: list[int] = []
    draw = stimuli._draw

    def counted(wanted: torch.Tensor) -> torch.Tensor:
        drawn.extend(wanted.tolist())
        return draw(wanted)

    monkeypatch.setattr(stimuli, "_draw", counted)
    side_by_side(lambda _: stimuli.pixels(range(40)), range(3), 3, Event())
    assert sorted(drawn) == list(range(40))


def test_seeds_hold_while_other_threads_seed_too() -> None:
    def drawn(seed: int) -> torch.Tensor:
        with seeded(seed):
            time.sleep(0.001)
            return torch.rand(100)

    alone, found = [drawn(seed) for seed in range(20)], {}
    side_by_side(lambda seed: found.update({seed: drawn(seed)}), range(20), 3, Event())
    assert all(torch.equal(found[seed], expected) for seed, expected in enumerate(alone))


@pytest.mark.parametrize(
    ("options", "device", "expected"),
    [
        pytest.param([], CPU, 3, id="a CPU"),
        pytest.param([], torch.device("cuda"), 1, id="a GPU, which one process fills"),
        pytest.param(["workers=2"], CPU, 1, id="images are prepared by processes"),
        pytest.param(["memory_gb=0.5"], CPU, 2, id="memory for two"),
        pytest.param(["memory_gb=0.01"], CPU, 1, id="memory for none: one all the same"),
    ],
)
def test_so_many_are_at_work_at_once(
    options: list[str], device: torch.device, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: type("Card", (), {"total_memory": 2**34}))
    tasks = [(network(), images(10))] * 5
    found, at_once = beside.jobs(tasks, compose(options), device)
    assert at_once == expected
    assert sum(map(len, found)) == 5
