"""A disk that is full while a file is written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from convergence.system.errors import UserError
from convergence.system.files import write_atomic


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted here (needs root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("writer", ["safetensors", "torch", "parquet", "text"])
def test_a_full_disk_is_one_sentence_whoever_writes_and_leaves_no_half_file(writer: str, full_disk: Path) -> None:
    big = {"layer": torch.rand(200_000)}
    write: dict[str, Callable[[Path], object]] = {
        "safetensors": lambda path: save_file(big, path),
        "torch": lambda path: torch.save(big, path),
        "parquet": lambda path: pd.DataFrame({"x": big["layer"].numpy()}).to_parquet(path),
        "text": lambda path: path.write_text("x" * 500_000),
    }
    with pytest.raises(
        UserError, match=r"could not be written, the disk is full: free some space .* what is done is kept"
    ):
        write_atomic(full_disk / "file", write[writer])
    assert list(full_disk.iterdir()) == []


def test_what_is_no_fault_of_the_disk_is_raised_as_it_is(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write_atomic(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []
