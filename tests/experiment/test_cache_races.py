"""The cache and the results under races, kills and broken files."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from convergence.activations import extract as activations
from convergence.activations.cache import Entry
from convergence.results import table as results
from tests.support.command import FORKED
from tests.support.races import extract_together, extracted, write_on


@pytest.mark.slow
@pytest.mark.parametrize("held", [True, False], ids=["yes", "no"])
def test_eight_processes_extract_once_and_are_right_even_where_claims_hold_nothing(held: bool, tmp_path: Path) -> None:
    right = float(extracted(tmp_path / "alone", tmp_path / "log-alone").read(["fc"], 0, 40)["fc"].sum())
    log = tmp_path / "log"
    together, sums = FORKED.Barrier(8), FORKED.SimpleQueue()
    what = (tmp_path / "shared", log, held, together, sums)
    processes = [FORKED.Process(target=extract_together, args=what) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * 8
    assert [sums.get() for _ in processes] == [right] * 8
    if held:
        assert len(log.read_text().split()) == 1
    assert not [p for p in (tmp_path / "shared").rglob("*") if p.suffix == ".tmp" or p.name == "lock"]


def test_every_flipped_bit_and_every_cut_of_an_entry_is_noticed_and_mended(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(activations, "CHUNK_BYTES", 4 * 22 * 25)  # two chunks
    whole = extracted(tmp_path, tmp_path / "log").read(["conv", "fc"], 0, 40)
    (folder,) = (tmp_path / "activations").iterdir()
    files = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(files) >= 3
    draw, noticed, entry = random.Random(0), 0, Entry(folder)
    for i in range(600):
        path, content = draw.choice(list(files.items()))
        if i % 4:
            place = draw.randrange(len(content))
            broken = content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        else:
            broken = content[: draw.randrange(len(content))]
        path.write_bytes(broken)
        found = entry.open()
        noticed += found is None
        if found is not None:  # a blank of the header
            assert all(torch.equal(found.read([n], 0, 40)[n], t) for n, t in whole.items())
        path.write_bytes(content)
    assert noticed > 500
    path.write_bytes(broken)
    again = extracted(tmp_path, tmp_path / "log").read(["conv", "fc"], 0, 40)
    assert all(torch.equal(again[name], values) for name, values in whole.items())


@pytest.mark.parametrize("kind", ["shard", "chunk"])
def test_a_hundred_and_fifty_writers_killed_at_random_instants_lose_nothing_and_leave_no_half_file(
    kind: str, tmp_path: Path
) -> None:
    draw, told = random.Random(0), 0
    for round_ in range(75):
        folder = tmp_path / str(round_)
        reading, writing = FORKED.Pipe(duplex=False)
        child = FORKED.Process(target=write_on, args=(folder, writing, kind))
        child.start()
        writing.close()
        acknowledged = {reading.recv()}
        time.sleep(draw.uniform(0, 0.02))
        child.kill()
        child.join()
        with reading, contextlib.suppress(EOFError):
            while True:
                acknowledged.add(reading.recv())
        there = {int(p.stem.split("-")[-1]) for p in folder.rglob("[!.]*.*")}
        assert acknowledged <= there
        for i in there:
            if kind == "shard":
                assert len(results.read_shard(folder, f"{i}") or ()) == 200
            else:
                assert Entry(folder).has_chunk(i)
        told += len(acknowledged)
    assert told >= 75
