"""HDF5, MATLAB and NetCDF: read by packages that may be absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convergence.models.recordings.raw import ID_NAMES, Raw, as_ids, needs

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
    from scipy.io import loadmat

    try:
        variables = loadmat(path)
    except NotImplementedError:  # what loadmat raises for version 7.3
        return _matlab_73(path)
    found = Raw()
    for name, value in variables.items():
        if not name.startswith("__"):
            found.add(name, value)
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
        ids = next((content[name] for name in ID_NAMES if name in content.variables), None)
        if ids is not None:
            found.ids = as_ids(ids.values)
        for name, array in content.data_vars.items():
            if str(name) in ID_NAMES:
                continue
            if ids is not None and ids.ndim == 1 and ids.dims[0] in array.dims:
                array = _stimuli_before_units(array, ids.dims[0])
            label = path.stem if str(name).startswith("__xarray") else str(name)
            found.arrays[label] = array.values
    return found


def _stimuli_before_units(array: Any, stimuli: Any) -> Any:
    """(repeats, stimuli, units), whatever the order of the dimensions in the file."""
    others = [d for d in array.dims if d != stimuli]
    others.sort(key=lambda d: not str(d).lower().startswith(_REPEATS))
    return array.transpose(*others[:-1], stimuli, *others[-1:])


def _h5py(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise needs("h5py", f"{path} (HDF5)") from None
    return h5py
