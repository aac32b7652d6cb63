"""Generated shifts on machines with a GPU, tried with a stand-in for one."""

from __future__ import annotations

import os

import pytest
import torch

from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig
from convergence.stimuli.shifts import shifted


def test_workers_make_generated_shifts_without_the_gpu_that_their_parent_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for CUDA: a device that fails whoever touches it outside the parent process."""
    parent = os.getpid()
    to = torch.Tensor.to

    def guarded(tensor: torch.Tensor, *where: object, **more: object) -> torch.Tensor:
        if where and where[0] == "cuda":
            if os.getpid() != parent:
                raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")
            where = ("cpu", *where[1:])
        return to(tensor, *where, **more)

    monkeypatch.setattr(torch.Tensor, "to", guarded)
    base = load(DatasetConfig("digits", stimuli=8), "test")
    for shift, level in (("contrast", "c30"), ("low-pass", "5"), ("cue-conflict", "0")):
        images = shifted(base, shift, level, device="cuda")
        images.prepare()
        rows = torch.utils.data.DataLoader(
            [[0, 1, 2], [3, 4]],
            batch_size=None,
            num_workers=2,
            collate_fn=images.pixels,
            multiprocessing_context="fork",
        )
        made = torch.cat(list(rows))
        expected = shifted(base, shift, level).pixels(range(5))
        assert torch.equal(made, expected)
