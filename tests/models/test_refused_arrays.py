"""Recorded responses that can't be scored: each is refused in a sentence that says where."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from convergence.models.options import ArraysConfig
from convergence.models.recordings.recording import recordings
from convergence.system.errors import UserError
from tests.support.recorded import IDS, IT, V4, npz, one


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


def twice_in_a_folder(path: Path) -> None:
    path.mkdir()
    np.save(path / "V4.npy", V4)
    np.save(path / "stimulus_ids.npy", np.array(IDS))
    (path / "stimulus_ids.txt").write_text("\n".join(IDS[::-1]))


def twice_in_safetensors(path: Path) -> None:
    save_file({"V4": V4, "image_id": np.arange(12)}, path, metadata={"image_id": json.dumps(IDS)})


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
    "two orders of stimuli": ("m.h5", in_groups, ["ids that differ ('s1/stimulus_ids' and 's2/", "file of its own"]),
    "two orders, by other names": (
        "m.npz",
        arrays(**{"a/V4": V4, "a/stimulus_ids": IDS, "b/V4": V4, "b/image_ids": IDS[::-1]}),
        ["ids that differ ('a/stimulus_ids' and 'b/image_ids')"],
    ),
    "two orders in a folder": ("m", twice_in_a_folder, ["ids that differ"]),
    "two orders in safetensors": ("m.safetensors", twice_in_safetensors, ["ids that differ"]),
    "bins of time": ("m.nc", in_time, ["'V4'", "(presentation, neuroid, time_bin)", "repetition"]),
    "different stimuli": ("m.npz", arrays(V4=V4, IT=IT[:, :9]), ["V4 12", "IT 9"]),
    "fewer ids": ("m.npz", arrays(V4=V4, stimulus_ids=IDS[:5]), ["'V4'", "12 stimuli", "5 stimulus_ids"]),
    "an id twice": ("m.npz", arrays(V4=V4, stimulus_ids=[*IDS[:-1], IDS[0]]), ["im00.png", "twice"]),
    "repeats last": ("m.npz", arrays(V4=np.zeros((12, 5, 3)), stimulus_ids=IDS), ["(12, 5, 3)", "last axis but one"]),
    "nothing": ("m.npz", arrays(stimulus_ids=IDS), ["holds no responses"]),
    "objects": ("m.npz", arrays(V4=np.array([[{"a": 1}]], dtype=object)), ["Python objects", "run code"]),
    "a broken file": ("m.npz", lambda path: path.write_bytes(b"PK but no archive"), ["can't be read as .npz"]),
    "a broken HDF5 file": ("m.h5", lambda path: path.write_bytes(b"<html>"), ["m.h5"]),
    "an empty file of MATLAB's": ("m.mat", lambda path: path.write_bytes(b""), ["can't be read as .mat"]),
    "a cut file of MATLAB's": (
        "m.mat",
        lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file,"),
        ["can't be read as .mat"],
    ),
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
