"""HDF5, MATLAB and NetCDF: read by packages that may be absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convergence.models.recordings.raw import ID_NAMES, Raw, needs
from convergence.system.errors import UserError

_REPEATS = ("rep", "trial")  # how the dimension of the repeats begins


def hdf5(path: Path) -> Raw:
    """Every data set of the file, in its groups too, under its path."""
    h5py = _h5py(path)
    found = Raw()

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.add(name, item[()])

    with h5py.File(path) as content:
        content.visititems(visit)
    return found


def matlab(path: Path) -> Raw:
    """The variables of a ``.mat`` file; those of version 7.3 are HDF5."""
    from scipy.io.matlab import MatReadError, loadmat, matfile_version
    from scipy.sparse import issparse

    try:
        version, _ = matfile_version(path)
    except (MatReadError, IndexError):
        raise ValueError("it ends within its head") from None
    if version == 2:
        return _matlab_73(path)
    found = Raw()
    for name, value in loadmat(path).items():
        if not name.startswith("__"):
            found.add(name, value.toarray() if issparse(value) else value)
    return found


def _matlab_73(path: Path) -> Raw:
    """Axes are written in reverse, text as numbers, and cells as references."""
    h5py = _h5py(path)
    found = Raw()
    with h5py.File(path) as content:

        def text(item: Any) -> Any:
            value = item[()]
            return "".join(map(chr, value.ravel())) if item.attrs.get("MATLAB_class") == b"char" else value.ravel()[0]

        for name, item in content.items():
            if not isinstance(item, h5py.Dataset):
                continue
            value = item[()]
            if value.dtype == object:
                value = np.array([text(content[reference]) for reference in value.ravel()])
            found.add(name, value.T)
    return found


def netcdf(path: Path) -> Raw:
    """The variables of an xarray data set; ids are a coordinate, whose dimension is that of the stimuli."""
    try:
        import xarray
    except ImportError:
        raise needs("xarray", f"{path} (NetCDF)") from None
    found = Raw()
    with xarray.open_dataset(path) as content:
        for known in (known for known in ID_NAMES if known in content.variables):
            found.add(known, content[known].values)
        ids = content[found.named[0][0]] if found.named else None
        stimuli = ids.dims[0] if ids is not None and ids.ndim == 1 else None
        for name, array in content.data_vars.items():
            if str(name) in ID_NAMES:
                continue
            array = _with_repeats_alone(array, stimuli, path)
            if stimuli in array.dims:
                array = _stimuli_before_units(array, stimuli)
            label = path.stem if str(name).startswith("__xarray") else str(name)
            found.arrays[label] = array.values
    return found


def _with_repeats_alone(array: Any, stimuli: Any, path: Path) -> Any:
    """Stimuli, units, and the repeats if a dimension is called so: others are left out where they have one place."""
    kept = 3 if any(map(_is_repeats, array.dims)) else 2
    for single in [d for d in array.dims if array.sizes[d] == 1 and d != stimuli and not _is_repeats(d)]:
        if array.ndim > kept:
            array = array.isel({single: 0})
    if array.ndim > kept == 2:
        raise UserError(
            f"{path}: '{array.name}' has the dimensions ({', '.join(map(str, array.dims))}), and none is called "
            "repetition or trial: name that of the repeats so, or save one place of what is neither stimuli nor units."
        )
    return array


def _is_repeats(dimension: Any) -> bool:
    return str(dimension).lower().startswith(_REPEATS)


def _stimuli_before_units(array: Any, stimuli: Any) -> Any:
    """(repeats, stimuli, units), whatever the order of the dimensions in the file."""
    others = [d for d in array.dims if d != stimuli]
    others.sort(key=lambda d: not _is_repeats(d))
    return array.transpose(*others[:-1], stimuli, *others[-1:])


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise needs("h5py", f"{path} (HDF5)") from None
    return h5py
