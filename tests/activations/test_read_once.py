"""What a process has written, or has verified, it does not read and hash again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from convergence.activations import cache
from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.stimuli.base import ArrayStimuli
from convergence.system.hashing import hash_tensors
from tests.support.networks import network


def images(count: int) -> ArrayStimuli:
    pixels = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8)
    ids = tuple(map(str, range(count)))
    return ArrayStimuli("noise", ("noise",), ids, torch.zeros(count, dtype=torch.int64), "noise", array=pixels)


def test_chunks_are_hashed_once_when_extracted_and_once_when_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[object] = []
    monkeypatch.setattr(cache, "hash_tensors", lambda tensors: hashed.append(1) or hash_tensors(tensors))
    found, stimuli = network(), images(12)

    def go() -> int:
        hashed.clear()
        extract(found, Loader(found.preprocess, stimuli, tmp_path, 4, 0, torch.device("cpu")))
        return len(hashed)

    chunks = go()
    assert chunks == len(list(tmp_path.glob("activations/*/chunk-*")))
    assert go() == chunks


def test_a_chunk_that_was_damaged_after_it_was_written_is_found_broken(tmp_path: Path) -> None:
    entry = cache.Entry(tmp_path)
    entry.write_chunk(0, {"layer": torch.ones(4, 3)})
    assert entry.has_chunk(0)
    path = next(tmp_path.glob("chunk-*"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert not entry.has_chunk(0)
