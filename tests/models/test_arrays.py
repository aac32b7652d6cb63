"""Recorded responses as files: every format gives the same network."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from convergence.activations.recorded import Recorded
from convergence.alignment.reliability import reliability
from convergence.models.options import ArraysConfig
from convergence.models.recordings.matching import matched
from convergence.models.recordings.recording import recordings
from convergence.stimuli.recorded import recorded_stimuli
from convergence.system.errors import UserError
from tests.support.recorded import AREAS, IDS, IT, V4, npz, one


def hdf5(path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as content:
        content["stimulus_ids"] = IDS
        for name, array in AREAS.items():
            content[name] = array


def mat(path: Path) -> None:
    from scipy.io import savemat

    savemat(path, {**AREAS, "stimulus_ids": np.array(IDS, dtype=object)[:, None]})


def mat_73(path: Path) -> None:
    """As MATLAB writes it with -v7.3: axes in reverse, cells as references to characters."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as content:
        for name, array in AREAS.items():
            content[name] = array.T
        texts = [content.create_dataset(f"#refs#/{i}", data=[[ord(c)] for c in name]) for i, name in enumerate(IDS)]
        for text in texts:
            text.attrs["MATLAB_class"] = np.bytes_("char")
        content["stimulus_ids"] = np.array([[text.ref for text in texts]], dtype=h5py.ref_dtype)
    header = b"MATLAB 7.3 MAT-file".ljust(124) + (0x0200).to_bytes(2, "little") + b"IM"
    with open(path, "r+b") as handle:
        handle.write(header)


def mat_sparse(path: Path) -> None:
    """Spike counts are mostly zero."""
    from scipy.io import savemat
    from scipy.sparse import csc_matrix

    savemat(path, {"V4": csc_matrix(V4), "IT": IT, "image_id": np.array(IDS, dtype=object)[:, None]})


def safetensors(path: Path) -> None:
    save_file({name: a.copy() for name, a in AREAS.items()}, path, metadata={"stimulus_ids": json.dumps(IDS)})


def netcdf(path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    if not any(importlib.util.find_spec(name) for name in ("h5netcdf", "netCDF4")):
        pytest.skip("xarray has no engine for NetCDF 4 here")
    content = {
        "V4": (("neuroid", "presentation", "time_bin"), V4.T[:, :, None]),
        "IT": (("repetition", "presentation", "neuron"), IT),
    }
    xarray.Dataset(content, coords={"stimulus_id": ("presentation", IDS)}).to_netcdf(path)


def folder(path: Path) -> None:
    path.mkdir()
    for name, array in AREAS.items():
        np.save(path / f"{name}.npy", array)
    (path / "stimulus_ids.txt").write_text("\n".join(IDS))


WRITERS: dict[str, Callable[[Path], None]] = {
    "m.npz": npz,
    "m.h5": hdf5,
    "m.hdf5": hdf5,
    "m.mat": mat,
    "m73.mat": mat_73,
    "sparse.mat": mat_sparse,
    "m.safetensors": safetensors,
    "m.nc": netcdf,
    "m": folder,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_areas_ids_and_mean_responses(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    found = one([str(tmp_path / name)])
    assert set(found.layers) == {"V4", "IT"}
    assert found.ids == tuple(IDS)
    shown = recorded_stimuli([IDS[7], IDS[2]])
    responses = Recorded(found, shown)
    read = responses.read(["V4", "IT"], 0, 2)
    np.testing.assert_allclose(read["V4"], V4[[7, 2]])
    np.testing.assert_allclose(read["IT"], IT.mean(axis=0)[[7, 2]], atol=1e-12)
    assert set(Recorded(found, recorded_stimuli(IDS)).reliability) == {"IT"}, "of what has repeats alone"


@pytest.mark.parametrize("extra", [(), ("time_bin",)])
def test_a_single_unit_of_netcdf_keeps_its_repeats(tmp_path: Path, extra: tuple[str, ...]) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    alone = IT[..., :1].reshape(*IT.shape[:2], 1, *(1 for _ in extra))
    content = {"IT": (("repetition", "presentation", "neuroid", *extra), alone)}
    xarray.Dataset(content, coords={"stimulus_id": ("presentation", IDS)}).to_netcdf(tmp_path / "m.nc")
    np.testing.assert_allclose(one([str(tmp_path / "m.nc")]).responses["IT"], IT[..., :1])


def named_npz(path: Path, ids: dict[str, list[str]]) -> None:
    np.savez(path, V4=V4, **{name: np.array(found) for name, found in ids.items()})


def named_mat(path: Path, ids: dict[str, list[str]]) -> None:
    from scipy.io import savemat

    savemat(path, {"V4": V4, **{name: np.array(found, dtype=object)[:, None] for name, found in ids.items()}})


def named_hdf5(path: Path, ids: dict[str, list[str]]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as content:
        for name, array in {**ids, "V4": V4}.items():
            content[name] = array


def named_parquet(path: Path, ids: dict[str, list[str]]) -> None:
    pd.DataFrame(V4, columns=list("abcde")).assign(**ids).to_parquet(path)


def named_safetensors(path: Path, ids: dict[str, list[str]]) -> None:
    save_file({"V4": V4}, path, metadata={name: json.dumps(found) for name, found in ids.items()})


def named_netcdf(path: Path, ids: dict[str, list[str]]) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    coords = {name: ("presentation", found) for name, found in ids.items()}
    xarray.Dataset({"V4": (("presentation", "neuroid"), V4)}, coords=coords).to_netcdf(path)


def named_folder(path: Path, ids: dict[str, list[str]]) -> None:
    path.mkdir()
    np.save(path / "V4.npy", V4)
    for number, (name, found) in enumerate(ids.items()):
        if number % 2:
            np.save(path / f"{name}.npy", np.array(found))
        else:
            (path / f"{name}.txt").write_text("\n".join(found))


NAMED: dict[str, Callable[[Path, dict[str, list[str]]], None]] = {
    "V4.npz": named_npz,
    "V4.mat": named_mat,
    "V4.h5": named_hdf5,
    "V4.parquet": named_parquet,
    "V4.safetensors": named_safetensors,
    "V4.nc": named_netcdf,
    "folder": named_folder,
}


@pytest.mark.parametrize("best", ["stimulus_ids", "stimulus_id", "image_ids"])
@pytest.mark.parametrize("first", [False, True], ids=["best name last", "best name first"])
@pytest.mark.parametrize("name", NAMED)
def test_of_several_names_for_ids_the_best_counts_in_every_format(
    tmp_path: Path, name: str, first: bool, best: str
) -> None:
    ids = {best: IDS, "image_id": [f"{i % 3}" for i in range(12)]}
    NAMED[name](tmp_path / name, ids if first else dict(reversed(ids.items())))
    found = one([str(tmp_path / name)])
    assert (found.ids, list(found.layers)) == (tuple(IDS), ["V4"])


@pytest.mark.parametrize(("name", "package"), [("m.h5", "h5py"), ("m.nc", "xarray")])
def test_a_format_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"{name} .* needs {package}: install it with `pip install {package}`"):
        one([str(tmp_path / name)])


def by_column(path: Path) -> None:
    pd.DataFrame(V4, columns=list("abcde")).assign(stimulus_id=IDS).to_parquet(path)


def by_numbers_of_images(path: Path) -> None:
    frame = pd.DataFrame(V4, columns=list("abcde")).assign(stimulus_id=IDS, image_id=range(12))
    frame.to_parquet(path)


def by_index(path: Path) -> None:
    pd.DataFrame(V4, columns=list("abcde"), index=IDS).to_parquet(path)


def npy_beside_its_ids(path: Path) -> None:
    np.save(path, V4)


@pytest.mark.parametrize(
    ("write", "ending", "beside"),
    [
        (by_column, ".parquet", False),
        (by_index, ".parquet", False),
        (by_numbers_of_images, ".parquet", False),
        (npy_beside_its_ids, ".npy", True),
    ],
)
def test_a_file_of_one_layer_gives_it_the_name_of_the_file(
    tmp_path: Path, write: Callable[[Path], None], ending: str, beside: bool
) -> None:
    write(tmp_path / f"V4{ending}")
    (tmp_path / "ids.txt").write_text("\n".join(IDS), encoding="utf-8-sig")  # as Windows writes it
    found = one(str(tmp_path / f"V4{ending}"), stimulus_ids=str(tmp_path / "ids.txt") if beside else None)
    assert list(found.layers) == ["V4"]
    assert found.ids == tuple(IDS)
    np.testing.assert_allclose(found.responses["V4"], V4)


def test_files_are_named_by_what_tells_them_apart_or_by_the_user(tmp_path: Path) -> None:
    for animal in "ab":
        (tmp_path / animal).mkdir()
        npz(tmp_path / animal / "data.npz")
    listed = recordings(ArraysConfig(files=str(tmp_path / "*" / "data.npz")))
    assert [found.weights for found in listed] == ["a/data", "b/data"]
    given = recordings(ArraysConfig(files={"Ada": str(tmp_path / "a" / "data.npz")}))
    assert [found.weights for found in given] == ["Ada"]
    areas = recordings(ArraysConfig(files=str(tmp_path / "a" / "data.npz"), layers=["I*"]))
    assert list(areas[0].layers) == ["IT"]


@pytest.mark.parametrize(
    ("images", "ids", "expected"),
    [
        (["a/x.png", "a/y.png"], ["a/y.png", "a/x.png"], {0: 1, 1: 0}),
        (["a/x.png", "a/y.png"], ["x.png", "z.png"], {0: 0}),
        (["a/x.JPEG", "a/y.JPEG"], ["a/y", "q"], {1: 0}),
        (["a/x.png"], ["x"], {0: 0}),
        (["x.png"], ["set\\x.tiff"], {0: 0}),
        (["0007.png", "0010.png"], ["10", "7"], {0: 1, 1: 0}),
        (["face.1", "face.2"], ["face.2"], {1: 0}),
        (["a/1.png", "b/1.png", "b/2.png"], ["1", "2"], {2: 1}),
    ],
    ids=["as they are", "file name", "no ending", "stem", "another folder and ending", "numbers", "a dot", "ambiguous"],
)
def test_ids_match_with_or_without_ending_and_folder(
    images: list[str], ids: list[str], expected: dict[int, int]
) -> None:
    assert matched(images, ids) == expected


@pytest.mark.parametrize("repeats", [2, 5, 10, 40])
def test_reliability_is_that_of_the_mean_over_all_repeats(repeats: int) -> None:
    """Signal of variance 1, noise of variance v: ρ = 1 / (1 + v / R)."""
    rng = np.random.default_rng(repeats)
    noise = np.array([0.0, 1.0, 4.0, 25.0])
    clean = rng.standard_normal((4000, 4))
    responses = clean + np.sqrt(noise) * rng.standard_normal((repeats, 4000, 4))
    found = reliability(torch.from_numpy(responses))
    np.testing.assert_allclose(found, 1 / (1 + noise / repeats), atol=0.05)
    assert torch.equal(found, reliability(torch.from_numpy(responses))), "splits are seeded"


def test_a_unit_that_never_varies_has_no_reliability_and_one_of_noise_has_none_to_speak_of() -> None:
    responses = torch.randn(6, 2000, 2, generator=torch.Generator().manual_seed(0))
    responses[..., 1] = 3.0
    found = reliability(responses)
    assert abs(found[0]) < 0.1
    assert found[1].isnan()
