"""Tables of results of several runs, versions and writers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from convergence import figures
from convergence.results import table as results
from convergence.system.errors import UserError


def test_figures_of_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="there are no rows to draw"):
        figures.draw(results.conform(pd.DataFrame()).to_pandas(), Path("nowhere"))


def test_files_of_different_runs_concatenate_with_the_same_types(tmp_path: Path) -> None:
    table = pd.DataFrame({"axis": ["depth"], "score": [0.5], "fold": [0]})
    for name in ("a", "b"):
        results.write_shard(tmp_path / name, "one", table.assign(source_seed=np.nan if name == "a" else 3))
        results.merge(tmp_path / name, ["one"])
    both = results.read([tmp_path])
    assert len(both) == 2
    assert list(both.columns) == results.SCHEMA.names


def test_a_file_from_before_a_column_was_added_is_read_with_that_column_empty(tmp_path: Path) -> None:
    table = results.conform(pd.DataFrame({"axis": ["depth"], "score": [0.5]}))
    pq.write_table(table.drop_columns(["draws", "p_value_max"]), tmp_path / results.RESULTS)
    found = results.read([tmp_path])
    assert list(found.columns) == results.SCHEMA.names
    assert found.p_value_max.isna().all()
    pq.write_table(table.drop_columns(["score"]), tmp_path / results.RESULTS)
    with pytest.raises(UserError, match="is not a table of results"):
        results.read([tmp_path])


def test_writers_at_once_never_leave_a_broken_file(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    table = pd.DataFrame({"axis": ["depth"] * 500, "score": np.arange(500) / 7})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: results.write_shard(tmp_path, "same", table), range(40)))
    assert len(results.merge(tmp_path, ["same"])) == 500
    assert os.listdir(tmp_path / "shards") == ["same.parquet"]
