"""Files of arrays, by their ending. No pickle is executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from convergence.models.recordings import scientific
from convergence.models.recordings.raw import ID_NAMES, Raw, as_ids, one_order
from convergence.system.errors import UserError

_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
_BROKEN = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, SafetensorError)


def read(path: Path) -> Raw:
    """The arrays of a file, or of a folder with one ``.npy`` per layer.

    Raises
    ------
    UserError
        If the ending is not known, the file is broken or holds objects, or a package is missing that reads it.
    """
    found = _folder(path) if path.is_dir() else _file(path)
    found.ids = one_order(found.named, path) if found.named else found.ids
    return found


def _file(path: Path) -> Raw:
    ending = path.suffix.lower()
    if ending not in READERS:
        known = ", ".join(READERS)
        hint = "; pickles can run code, and are not read" if ending in _PICKLES else ""
        raise UserError(f"{path} is none of the files that recorded responses are read from ({known}){hint}.")
    try:
        return READERS[ending](path)
    except _BROKEN as error:
        if isinstance(error, UserError):
            raise
        if "Object arrays" in str(error):
            raise UserError(
                f"{path} holds Python objects, which are not read as that can run code: save one numerical array of "
                "(stimuli, units) or (repeats, stimuli, units) per layer, and ids as text, ids.astype(str)."
            ) from None
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        if "pickled" in reason:  # what NumPy takes anything for that it does not know
            reason = "it is no file of NumPy's"
        raise UserError(f"{path} can't be read as {ending} ({reason}): save it again.") from None


def ids_in(path: Path) -> list[str]:
    """The ids of a file of its own: ``.npy``, or text with one a line."""
    try:
        if path.suffix.lower() == ".npy":
            return as_ids(np.load(path, allow_pickle=False))
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except _BROKEN:
        raise UserError(f"{path} can't be read as ids: save them as text in UTF-8, one a line.") from None


def _folder(path: Path) -> Raw:
    found = Raw()
    for file in sorted(path.glob("*.npy")):
        found.add(file.stem, ids_in(file) if file.stem in ID_NAMES else _file(file).arrays[file.stem])
    for text in (path / f"{name}.txt" for name in ID_NAMES):
        if text.is_file():
            found.add(text.stem, ids_in(text))
    if not found.arrays:
        raise UserError(f"{path} is a folder without .npy files: put one per layer there, or name a file.")
    return found


def _npz(path: Path) -> Raw:
    found = Raw()
    with np.load(path, allow_pickle=False) as content:
        for name in content.files:
            found.add(name, content[name])
    return found


def _npy(path: Path) -> Raw:
    return Raw({path.stem: np.load(path, allow_pickle=False)})


def _parquet(path: Path) -> Raw:
    """Units in columns, stimuli in rows; ids in a column ``stimulus_id`` or in the index."""
    import pandas as pd

    table, found = pd.read_parquet(path), Raw()
    for name in ID_NAMES:
        if name in table:
            found.add(name, table.pop(name))
    if not found.named and not isinstance(table.index, pd.RangeIndex):
        found.ids = as_ids(table.index)
    other = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    if other:
        raise UserError(
            f"{path}: column '{other[0]}' is no unit's responses, which are numbers: leave it out, or call it "
            "stimulus_id if it tells the stimuli."
        )
    found.arrays[path.stem] = table.to_numpy(dtype=float)
    return found


def _safetensors(path: Path) -> Raw:
    """Ids as a tensor of whole numbers, or in the file's metadata as a JSON list."""
    found = Raw()
    with safe_open(path, framework="pt") as content:
        for name in content.keys():  # noqa: SIM118
            tensor = content.get_tensor(name)
            found.add(name, (tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor).numpy())
        about = content.metadata() or {}
    for name in ID_NAMES:
        if name in about:
            found.add(name, json.loads(about[name]))
    return found


READERS: dict[str, Callable[[Path], Raw]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".h5": scientific.hdf5,
    ".hdf5": scientific.hdf5,
    ".mat": scientific.matlab,
    ".parquet": _parquet,
    ".safetensors": _safetensors,
    ".nc": scientific.netcdf,
}
