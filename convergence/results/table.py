"""The table of results: its schema, shards that are whole or not there, and the merged file."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from convergence.results.plan import read_plan
from convergence.system.errors import UserError
from convergence.system.files import write_atomic

_log = logging.getLogger("convergence")
RESULTS = "results.parquet"
_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()

SCHEMA = pa.schema(
    [
        *((name, _TEXT) for name in ("axis", "dataset", "condition", "level", "protocol", "run")),
        *((name, _TEXT) for name in ("source_model", "target_model", "source_weights", "target_weights")),
        *((name, _WHOLE) for name in ("source_seed", "target_seed", "source_step", "target_step")),
        *((name, _REAL) for name in ("source_epoch", "target_epoch")),
        *((name, _TEXT) for name in ("source_layer", "target_layer")),
        *((name, _REAL) for name in ("source_depth", "target_depth")),
        *((name, _WHOLE) for name in ("source_units", "target_units", "source_dead", "target_dead")),
        *((name, _REAL) for name in ("source_accuracy", "target_accuracy")),
        *((name, _TEXT) for name in ("metric", "direction")),
        ("fold", _WHOLE),
        *((name, _REAL) for name in ("score", "score_global", "score_transport", "penalty")),
        *((name, _WHOLE) for name in ("n_train", "n_test")),
        ("null", _TEXT),
        *((name, _WHOLE) for name in ("draw", "draws")),
        *((name, _REAL) for name in ("p_value", "p_value_max", "null_quantile", "score_calibrated")),
        *((name, _REAL) for name in ("target_reliability", "score_corrected")),
    ]
)
Identity = dict[str, str]  # hashes of what rows were made from, by kind: images, networks, …
_IDENTITY, _ROWS = "identity", "rows"  # in the metadata of a file
_ADDED = ("draws", "p_value_max", "target_reliability", "score_corrected")  # columns that older files lack


def conform(table: pd.DataFrame) -> pa.Table:
    """The table with exactly the schema's columns and types; columns it lacks are null."""
    columns = {}
    for field in SCHEMA:
        values = table[field.name] if field.name in table else [None] * len(table)
        columns[field.name] = pa.array(values, type=field.type, from_pandas=True)
    return pa.table(columns, schema=SCHEMA)


def _current(table: pa.Table) -> pa.Table:
    """The table in the schema of today; raises ValueError where it is of another kind."""
    for name in _ADDED:
        if name not in table.schema.names:
            i = SCHEMA.get_field_index(name)
            table = table.add_column(i, SCHEMA.field(i), pa.nulls(len(table), SCHEMA.field(i).type))
    return table.cast(SCHEMA)


def write_shard(folder: Path, name: str, table: pd.DataFrame, identity: Identity | None = None) -> None:
    """One unit of work's rows, under ``folder/shards``, with the identity of what they were made from."""
    about = {_IDENTITY: json.dumps(identity or {}, sort_keys=True), _ROWS: str(len(table))}
    whole = conform(table).replace_schema_metadata(about)
    write_atomic(_shard(folder, name), lambda path: pq.write_table(whole, path, write_page_checksum=True))


def read_shard(folder: Path, name: str, identity: Identity | None = None) -> pa.Table | None:
    """The rows of a shard that is there, whole, and of this identity if one is given; a broken one is told.

    It stays where it is: another process may have written a good one since. The new one takes its place.
    """
    path = _shard(folder, name)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        about = _about(table.schema)
        if table.schema.names == SCHEMA.names and about.get(_ROWS, str(len(table))) == str(len(table)):
            same = identity is None or json.loads(about.get(_IDENTITY, "{}")) == identity
            return table.replace_schema_metadata() if same else None
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, ValueError):
        pass
    _log.warning("%s is broken and is computed again.", path)
    return None


def shard_identity(folder: Path, name: str) -> Identity | None:
    """What a shard was made from, {} where an older version did not say; None if there is none."""
    try:
        found: Identity = json.loads(_about(pq.read_schema(_shard(folder, name))).get(_IDENTITY, "{}"))
    except (pa.ArrowException, OSError, ValueError):
        return None
    return found


def _shard(folder: Path, name: str) -> Path:
    return folder / "shards" / f"{name}.parquet"


def _about(schema: pa.Schema) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}


def merge(folder: Path, names: Sequence[str] | Mapping[str, Identity]) -> pd.DataFrame | None:
    """``results.parquet`` of these shards, in this order: the same file however often the run was interrupted.

    Parameters
    ----------
    names : of the shards, or the identity that each has to have.

    Returns
    -------
    All rows; None, and nothing is written, if a shard is missing, broken, or of another identity.
    """
    identities = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names)
    tables = [read_shard(folder, name, identity) for name, identity in identities.items()]
    if any(table is None for table in tables):
        return None
    whole = pa.concat_tables([table for table in tables if table is not None]).cast(SCHEMA)
    made = whole.replace_schema_metadata({_IDENTITY: json.dumps(identities)})
    write_atomic(folder / RESULTS, lambda path: pq.write_table(made, path, write_page_checksum=True))
    return whole.to_pandas()


def merged(folder: Path) -> tuple[pd.DataFrame, dict[str, Identity]] | None:
    """The rows of ``results.parquet`` and the identity of each comparison in it; None if it is missing or broken."""
    path = folder / RESULTS
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        identities = json.loads(_about(table.schema).get(_IDENTITY, "{}"))
        return _current(table).to_pandas(), identities
    except (pa.ArrowException, OSError, ValueError):
        _log.warning("%s is broken and is made again.", path)
        return None


def read(places: Sequence[str | Path]) -> pd.DataFrame:
    """All results under run folders, parquet files or globs, as one table.

    Raises
    ------
    UserError
        If a place holds no results, or a file is broken.
    """
    files: list[Path] = []
    for place in places:
        matches = [Path(p) for p in sorted(glob.glob(str(place), recursive=True))]
        here = [f for p in matches for f in _tables(p)]
        if not here:
            raise UserError(f"{place} holds no {RESULTS}: name a run folder, or the folder above several.")
        files += [f for f in here if f not in files]
    tables = []
    for path in files:
        try:
            tables.append(_current(pq.read_table(path)))
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0][:120]
            raise UserError(f"{path} is not a table of results ({reason}): run its experiment again.") from None
    return pa.concat_tables(tables).to_pandas()


def _tables(place: Path) -> list[Path]:
    """The tables of a file, of a population (those that are there), or of all runs under a folder."""
    plan = read_plan(place)
    if plan is not None:
        return [path for run in plan if (path := run / RESULTS).is_file()]
    return [place] if place.is_file() else sorted(place.rglob(RESULTS))


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """``manifest.json``: what the numbers came from."""
    text = json.dumps(manifest, indent=1, sort_keys=True, default=str) + "\n"
    write_atomic(folder / "manifest.json", lambda path: path.write_text(text))
