"""Tables of images: one row each, with a path, and if known an id, a label and a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convergence.stimuli.files import FileStimuli, listed
from convergence.stimuli.layouts import HELD_OUT, TRAINING, canonical, in_order, share_of
from convergence.stimuli.options import FilesConfig
from convergence.system.errors import UserError

# Names of the columns, in lower case, best first.
_COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img_path"),
    "id": ("id", "image_id", "stimulus_id", "stimulus"),
    "label": ("label", "class", "category", "target", "class_name", "label_name", "wnid", "synset"),
    "split": ("split", "subset", "fold_name"),
}


def _text(path: Path) -> pd.DataFrame:
    """All as text, parted as the head is: spreadsheets of many countries write semicolons in a .csv."""
    with open(path, encoding="utf-8-sig") as file:
        head = file.readline()
    separator = max("\t,;" if path.suffix.lower() == ".tsv" else ",;\t", key=head.count)
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=separator)


READERS: dict[str, Any] = {".csv": _text, ".tsv": _text, ".parquet": pd.read_parquet}


def from_table(config: FilesConfig, split: str) -> FileStimuli:
    """All images of a split ("train", "test", "all") that ``config.table`` lists, unopened, in its order.

    Paths are relative to ``dataset.root`` if that is given, else to the table's folder. Rows without a label make the
    whole unlabelled. A column ``split`` is followed; without it a fifth of each class is held out from training.

    Raises
    ------
    UserError
        If the table cannot be read, has no column of paths, names files that are missing, or an id twice.
    """
    table_path = Path(str(config.table)).expanduser()
    top = Path(config.root).expanduser() if config.root else table_path.parent
    table = _read(table_path)
    paths = _texts(table, "path", table_path)
    assert paths is not None
    if not paths:
        raise UserError(f"dataset.table={table_path} has no rows: list one image in each.")
    # As Windows writes them, but where a name has a backslash of its own.
    paths = [path if "\\" not in path or (top / path).is_file() else path.replace("\\", "/") for path in paths]
    _refuse_missing(paths, top, table_path)
    ids = _texts(table, "id", table_path) or paths
    twice = pd.Series(ids)[pd.Series(ids).duplicated()]
    if len(twice):
        raise UserError(f"dataset.table={table_path} names {twice.iloc[0]} twice: give each image an id of its own.")
    labels = _texts(table, "label", table_path)
    if labels is not None and "" in labels:
        labels = None
    classes = in_order(sorted(set(labels))) if labels is not None else ()
    number = {name: i for i, name in enumerate(classes)}
    rows = _rows(ids, labels, _texts(table, "split", table_path), split, config.seed)
    if not rows:
        raise UserError(f"dataset.table={table_path} has no images of the split {split}: see its labels and splits.")
    found = [(ids[i], number[labels[i]] if labels is not None else -1) for i in rows]
    images = listed(config.name, top, canonical(classes), found)
    images.files = tuple(paths[i] for i in rows)
    images.about = f"{len(ids):,} images of {table_path}"
    if len(rows) < len(ids):
        images.about += f", {len(rows):,} of which belong to the split {split},"
    return images


def _read(path: Path) -> pd.DataFrame:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"dataset.table={path} is none of {', '.join(READERS)}: save the table as one of these.")
    try:
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"dataset.table={path}: there is no such file.") from None
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors are ValueErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"dataset.table={path} cannot be read ({reason}): save it again, text in UTF-8.") from None


def _texts(table: pd.DataFrame, kind: str, path: Path) -> list[str] | None:
    """A column's values as text; None if there is no such column."""
    there = {str(name).strip().lower(): name for name in table.columns}
    name = next((there[known] for known in _COLUMNS[kind] if known in there), None)
    if name is None:
        if kind != "path":
            return None
        raise UserError(
            f"dataset.table={path} has no column path (it has {', '.join(map(str, table.columns))}): name that of the "
            "images' files so."
        )
    column = table[name]
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():  # whole numbers beside missing ones
        column = column.astype("Int64")
    return ["" if missing else str(value).strip() for value, missing in zip(column, column.isna(), strict=True)]


def _refuse_missing(paths: Sequence[str], top: Path, table: Path) -> None:
    missing = [path for path in paths if not (top / path).is_file()]
    if missing:
        raise UserError(
            f"dataset.table={table}: {len(missing):,} of {len(paths):,} files are missing, the first "
            f"{top / missing[0]}; paths are relative to dataset.root, or else to the table's folder."
        )


def _rows(ids: list[str], labels: list[str] | None, splits: list[str] | None, split: str, seed: int) -> list[int]:
    """Numbers of the split's rows."""
    if splits is not None:
        named = [name.lower() for name in splits]
        if any(name in TRAINING for name in named):
            held_out = [i for i, name in enumerate(named) if name in HELD_OUT]
            if split == "train" or not held_out:
                return [i for i, name in enumerate(named) if (name in TRAINING) == (split != "test")]
            return held_out
    place = {image_id: i for i, image_id in enumerate(ids)}
    by_class: dict[str, list[str]] = {}
    for image_id, label in zip(ids, labels or [""] * len(ids), strict=True):
        by_class.setdefault(label, []).append(image_id)
    return sorted(place[image_id] for files in by_class.values() for image_id in share_of(files, split, seed))
