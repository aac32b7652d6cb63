"""What `align` takes, what it refuses in one sentence, and that it never writes to what it is given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from convergence import align

M, N = 40, 6
SCORES = ["score", "score_global"]


def responses(units: int = N, seed: int = 0, stimuli: int = M) -> np.ndarray:
    shared = np.random.default_rng(7).standard_normal((stimuli, 4))
    rng = np.random.default_rng(seed)
    return shared @ rng.standard_normal((4, units)) + 0.3 * rng.standard_normal((stimuli, units))


def whole(seed: int = 0) -> np.ndarray:
    return np.round(10 * responses(seed=seed))


def scored(x: Any, y: Any, **options: Any) -> np.ndarray:
    return align(x, y, metrics=("linear", "procrustes"), device="cpu", **options)[SCORES].to_numpy()


def memory_mapped(a: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "a.npy", a)
    return np.load(folder / "a.npy", mmap_mode="r")


def read_only(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


TAKEN = {
    "float64": lambda a: a,
    "float32": lambda a: a.astype(np.float32),
    "float16": lambda a: a.astype(np.float16),
    "bfloat16": lambda a: torch.tensor(a).to(torch.bfloat16),
    "long double": lambda a: a.astype(np.longdouble),
    "int8": lambda a: a.astype(np.int8),
    "int64": lambda a: a.astype(np.int64),
    "unsigned, of a tensor": lambda a: torch.tensor(a + 128).to(torch.uint8),
    "big-endian": lambda a: a.astype(">f8"),
    "Fortran order": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "read-only": read_only,
    "a list of rows": lambda a: a.tolist(),
    "a data frame": pd.DataFrame,
    "a masked array": lambda a: np.ma.masked_array(a, mask=False),
    "a tensor": torch.tensor,
    "a tensor with a gradient": lambda a: torch.tensor(a, requires_grad=True),
    "a transposed tensor": lambda a: torch.tensor(a.T.copy()).T,
}


@pytest.mark.parametrize("kind", TAKEN)
def test_any_real_type_and_memory_order_scores_as_float64_does(kind: str) -> None:
    np.testing.assert_allclose(scored(TAKEN[kind](whole()), whole(1)), scored(whole(), whole(1)), atol=1e-9)


def test_a_memory_mapped_array_is_taken(tmp_path: Path) -> None:
    np.testing.assert_array_equal(scored(memory_mapped(whole(), tmp_path), whole(1)), scored(whole(), whole(1)))


def test_booleans_are_zeros_and_ones() -> None:
    x, y = responses() > 0, responses(seed=1)
    np.testing.assert_array_equal(scored(x, y), scored(x.astype(float), y))


def test_two_plain_arrays_are_layers_named_x_and_y() -> None:
    table = align(responses(), responses(seed=1), metrics="procrustes")
    assert set(table.layer_x) == {"x"}
    assert set(table.layer_y) == {"y"}


REFUSED = {
    "complex": (responses() + 0j, "layer 'x' of x is of type complex128"),
    "complex tensor": (torch.tensor(responses() + 0j), "layer 'x' of x is a tensor that is torch.complex128"),
    "strings": (responses().astype(str), "layer 'x' of x is of type <U"),
    "objects": (responses().astype(object), "layer 'x' of x is of rows of different lengths or of objects"),
    "ragged": ([[1.0, 2.0], [3.0]], "layer 'x' of x is no array"),
    "dates": (np.zeros((M, N), "datetime64[s]"), "layer 'x' of x is of type datetime64"),
    "sparse": (torch.eye(M).to_sparse(), "layer 'x' of x is a tensor that is sparse"),
    "no data": (torch.empty(M, N, device="meta"), "layer 'x' of x is a tensor that is sparse, quantised or without"),
    "one dimension": (responses()[:, 0], r"layer 'x' of x has shape \(40,\)"),
    "five dimensions": (responses().reshape(M, N, 1, 1, 1), "layer 'x' of x has shape"),
    "a number": (3.0, r"layer 'x' of x has shape \(\)"),
    "nothing": (None, "layer 'x' of x is of rows of different lengths or of objects"),
    "no units": (responses()[:, :0], r"layer 'x' of x has shape \(40, 0\)"),
    "no stimuli": (responses()[:0], r"layer 'x' of x has shape \(0, 6\)"),
    "no layers": ({}, "x has no layers"),
    "layers of different length": ({"a": responses(), "b": responses()[:-1]}, "layer 'b' of x has 39 rows"),
    "other stimuli": (responses()[:-1], "x has 39 stimuli and y has 40"),
    "NaN": ({"conv": np.where(np.arange(M)[:, None] == 5, np.nan, responses())}, "layer 'conv' .* row 5"),
    "infinity": ({"conv": np.where(np.arange(M)[:, None] == 9, -np.inf, responses())}, "layer 'conv' .* row 9"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_refused_in_one_sentence_that_names_the_layer(kind: str) -> None:
    given, sentence = REFUSED[kind]
    with pytest.raises(ValueError, match=sentence) as refused:
        align(given, responses(seed=1))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("kind", ["numpy", "torch", "float32"])
@pytest.mark.parametrize("units", [N, 3 * M], ids=["narrow", "wide"])
def test_what_is_given_is_never_written_to(units: int, kind: str, side: str) -> None:
    given = responses(units) + 5.0
    given = {"numpy": given, "torch": torch.tensor(given), "float32": given.astype(np.float32)}[kind]
    before = given.clone() if isinstance(given, torch.Tensor) else given.copy()
    other = {"narrow": responses(seed=1), "wide": responses(3 * M, seed=2)}
    x, y = ({"layer": given}, other) if side == "x" else (other, {"layer": given})
    for null in ("none", "shuffle"):
        align(x, y, metrics=("linear", "procrustes"), null=null, draws=1, alpha=0.5)
    align(x, y, metrics=("soft_matching", "cka", "rsa"))
    assert (given == before).all()


def test_a_wide_layer_beside_a_narrow_one_changes_none_of_its_rows() -> None:
    y = np.concatenate([responses(3, seed=3, stimuli=20), 1e4 + 1e-3 * responses(3, seed=4, stimuli=20)], axis=1)
    narrow, broad = responses(12, stimuli=20), responses(50, seed=5, stimuli=20)
    alone = align({"narrow": narrow}, {"y": y}, metrics="procrustes")
    beside = align({"broad": broad, "narrow": narrow}, {"y": y}, metrics="procrustes").query("layer_x == 'narrow'")
    pd.testing.assert_frame_equal(alone, beside.reset_index(drop=True))


def test_two_calls_in_two_threads_give_what_they_give_alone() -> None:
    pairs = [(responses(seed=s), responses(seed=s + 1)) for s in range(6)]
    alone = [scored(*pair, null="shuffle", draws=3, alpha=0.5) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: scored(*pair, null="shuffle", draws=3, alpha=0.5), pairs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_dropped_units_count_as_dead_and_the_others_score_as_without_them() -> None:
    x, y = responses(8), responses(seed=1)
    x[3, 0], x[9, 5] = np.nan, np.inf
    table = align(x, y, metrics=("linear", "procrustes"), on_nan="drop_units")
    assert set(table.dead_x) == {2}
    assert set(table.units_x) == {8}
    assert table.attrs["dropped_units"] == {"x": {"x": 2}, "y": {}}
    kept = np.delete(x, [0, 5], axis=1)
    np.testing.assert_allclose(table[SCORES].to_numpy(), scored(kept, y), atol=1e-12)


def test_dropped_stimuli_are_left_out_of_both_sides() -> None:
    x, y = {"a": responses(), "b": responses(seed=2)}, responses(seed=1)
    x["b"][4, 1], y[30, 2] = np.nan, np.nan
    table = align(x, y, metrics=("linear", "procrustes"), on_nan="drop_stimuli")
    assert table.attrs["dropped_stimuli"] == 2
    assert set(table.n_train + table.n_test) == {M - 2}
    kept = np.delete(np.arange(M), [4, 30])
    np.testing.assert_allclose(table[SCORES].to_numpy(), scored({n: v[kept] for n, v in x.items()}, y[kept]))


def test_on_nan_changes_nothing_where_all_is_finite_and_nothing_of_the_callers() -> None:
    x, y = responses(), responses(seed=1)
    holed = x.copy()
    holed[0, 0] = np.nan
    for rule in ("drop_units", "drop_stimuli"):
        np.testing.assert_array_equal(scored(x, y, on_nan=rule), scored(x, y))
        scored(holed, y, on_nan=rule)
        assert np.isnan(holed).sum() == 1


@pytest.mark.parametrize(
    ("x", "rule", "sentence"),
    [
        (np.full((M, N), np.nan), "drop_units", "layer 'x' of x has no unit without"),
        (np.full((M, N), np.nan), "drop_stimuli", "no stimulus is without"),
        (responses(), "ignore", "on_nan='ignore' is not known: choose from raise, drop_units, drop_stimuli"),
    ],
)
def test_what_cannot_be_dropped_is_said(x: np.ndarray, rule: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        align(x, responses(seed=1), on_nan=rule)
