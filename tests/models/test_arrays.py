"""Recorded responses as files: every format gives the same network, and what can't be scored is one sentence."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from convergence.activations.recorded import Recorded
from convergence.alignment.reliability import reliability
from convergence.models.options import ArraysConfig
from convergence.models.recordings.matching import matched
from convergence.models.recordings.recording import Recording, recordings
from convergence.stimuli.recorded import recorded_stimuli
from convergence.system.errors import UserError

IDS = [f"im{i:02d}.png" for i in range(12)]
V4 = np.random.default_rng(0).standard_normal((12, 5))
IT = np.random.default_rng(1).standard_normal((3, 12, 4))
AREAS = {"V4": V4, "IT": IT}


def one(files: Any, **options: Any) -> Recording:
    (found,) = recordings(ArraysConfig(files=files, **options))
    return found


def npz(path: Path) -> None:
    np.savez(path, stimulus_ids=np.array(IDS), **AREAS)


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


def arrays(**content: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **content)


def with_hole() -> np.ndarray:
    array = IT.copy()
    array[1, 7, 3] = np.nan
    return array


def in_groups(path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as content:
        for session, ids in (("s1", IDS), ("s2", IDS[::-1])):
            content[f"{session}/V4"], content[f"{session}/stimulus_ids"] = V4, ids


def in_time(path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    content = {"V4": (("presentation", "neuroid", "time_bin"), np.zeros((12, 5, 3)))}
    xarray.Dataset(content, coords={"stimulus_id": ("presentation", IDS)}).to_netcdf(path)


class _Trap:
    def __reduce__(self) -> tuple:
        return (open, (str(Path(__file__).with_name("must-not-exist")), "w"))


WRONG: dict[str, tuple[str, Callable[[Path], None], list[str]]] = {
    "one axis": ("m.npz", arrays(V4=V4[0]), ["'V4'", "(5,)", "(stimuli, units)"]),
    "maps": ("m.npz", arrays(V4=np.zeros((12, 3, 4, 4))), ["'V4'", "(12, 3, 4, 4)"]),
    "no units": ("m.npz", arrays(V4=np.zeros((12, 0))), ["'V4'", "(12, 0)"]),
    "a hole": (
        "m.npz",
        arrays(IT=with_hole(), stimulus_ids=IDS),
        ["'IT'", "stimulus 7", "im07.png", "repeat 1", "unit 3"],
    ),
    "infinity": ("m.npz", arrays(V4=np.full((12, 2), np.inf)), ["'V4'", "stimulus 0"]),
    "text": ("m.npz", arrays(V4=np.full((12, 2), "x")), ["'V4'", "no numbers"]),
    "complex numbers": ("m.npz", arrays(V4=V4 + 1j), ["'V4'", "complex numbers"]),
    "ids by another name": ("m.npz", arrays(V4=V4, names=IDS), ["'names'", "call it stimulus_ids"]),
    "ids as objects": ("m.npz", arrays(V4=V4, stimulus_ids=np.array(IDS, dtype=object)), ["ids.astype(str)"]),
    "two orders of stimuli": ("m.h5", in_groups, ["ids that differ"]),
    "bins of time": ("m.nc", in_time, ["'V4'", "(presentation, neuroid, time_bin)", "repetition"]),
    "different stimuli": ("m.npz", arrays(V4=V4, IT=IT[:, :9]), ["V4 12", "IT 9"]),
    "fewer ids": ("m.npz", arrays(V4=V4, stimulus_ids=IDS[:5]), ["'V4'", "12 stimuli", "5 stimulus_ids"]),
    "an id twice": ("m.npz", arrays(V4=V4, stimulus_ids=[*IDS[:-1], IDS[0]]), ["im00.png", "twice"]),
    "repeats last": ("m.npz", arrays(V4=np.zeros((12, 5, 3)), stimulus_ids=IDS), ["(12, 5, 3)", "last axis but one"]),
    "nothing": ("m.npz", arrays(stimulus_ids=IDS), ["holds no responses"]),
    "objects": ("m.npz", arrays(V4=np.array([[{"a": 1}]], dtype=object)), ["Python objects", "run code"]),
    "a broken file": ("m.npz", lambda path: path.write_bytes(b"PK but no archive"), ["can't be read as .npz"]),
    "a broken HDF5 file": ("m.h5", lambda path: path.write_bytes(b"<html>"), ["m.h5"]),
    "a pickle": ("m.pkl", lambda path: path.write_bytes(pickle.dumps(_Trap())), [".npz", "run code"]),
    "another ending": ("m.xyz", lambda path: path.write_text(""), [".npz, .npy"]),
    "a column of text": (
        "m.parquet",
        lambda path: pd.DataFrame({"a": [1.0, 2.0], "area": ["V4", "IT"]}).to_parquet(path),
        ["column 'area'"],
    ),
    "an empty folder": ("m", lambda path: path.mkdir(), ["without .npy files"]),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_can_not_be_scored_is_refused_in_a_sentence_that_says_where(tmp_path: Path, kind: str) -> None:
    name, write, words = WRONG[kind]
    write(tmp_path / name)
    with pytest.raises(UserError) as refused:
        one([str(tmp_path / name)])
    message = str(refused.value)
    assert str(tmp_path / name) in message
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert not Path(__file__).with_name("must-not-exist").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"files": None}, "model.files=["),
        ({"files": ["missing.npz"]}, "no such file"),
        ({"files": "nothing*.npz"}, "by this pattern"),
        ({"files": ["{place}", "{place}"]}, "twice"),
        ({"files": ["{place}"], "layers": ["V1"]}, "has V4, IT"),
        ({"files": ["{place}"], "image_size": 32}, "model.image_size"),
        ({"files": ["{place}"], "stimulus_ids": "gone.txt"}, "gone.txt"),
        ({"files": ["{bare}"], "stimulus_ids": "{place}"}, "can't be read as ids"),
    ],
)
def test_options_that_name_nothing_are_refused(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    npz(tmp_path / "m.npz")
    np.save(tmp_path / "bare.npy", V4)
    places = {"place": tmp_path / "m.npz", "bare": tmp_path / "bare.npy"}
    if isinstance(options["files"], list):
        options = {**options, "files": [f.format(**places) for f in options["files"]]}
    if "stimulus_ids" in options:
        options = {**options, "stimulus_ids": options["stimulus_ids"].format(**places)}
    with pytest.raises(UserError, match=word.replace("[", r"\[")):
        recordings(ArraysConfig(**options))


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
