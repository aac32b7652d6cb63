"""The path that a GPU takes, on the CPU: polar factors by products, few operations, and no waiting inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from convergence import align
from convergence.alignment import rows
from convergence.alignment.arrays import Arrays
from convergence.alignment.engine import Tile
from convergence.alignment.folds import assign
from convergence.alignment.metrics import polar
from convergence.alignment.metrics.catalogue import MEASURES
from convergence.alignment.moments.accumulate import Pass, accumulate
from convergence.alignment.score import transfer

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique")  # the host needs a number before it can go on


class Operations(TorchDispatchMode):
    """Counts operators; refuses those that make the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        name = function.overloadpacket.__name__
        if name in WAITS:
            raise AssertionError(f"{name} inside a block")
        if name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]):
            raise AssertionError("a boolean mask inside a block")
        return function(*args, **(kwargs or {}))


@contextmanager
def copies_to_the_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the tensors that are asked for on the CPU."""
    found: list[tuple[int, ...]] = []
    cpu = torch.Tensor.cpu
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "cpu", lambda self: (found.append(tuple(self.shape)), cpu(self))[1])
        yield found


def svd(cross: torch.Tensor) -> torch.Tensor:
    left, _, right = torch.linalg.svd(cross, full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [(3, 12, 12), (2, 4, 40, 17), (2, 9, 33), (1, 1)])
@pytest.mark.parametrize("condition", [1.5, 1e2, 1e4])
def test_polar_factors_by_products_are_those_of_the_singular_vectors(shape: tuple[int, ...], condition: float) -> None:
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, dtype=torch.float64, generator=generator), full_matrices=False)
    values = torch.logspace(0, -np.log10(condition), left.shape[-1], dtype=torch.float64)
    found, doubtful = polar.iterated(7e5 * (left * values) @ right)
    assert not doubtful.any()
    assert (found - left @ right).abs().max() < 1e-8


def test_polar_factors_of_too_low_a_rank_are_called_doubtful() -> None:
    full = torch.randn(4, 10, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    full[1, :, 3] = full[1, :, 2]
    full[2] = 0
    assert polar.iterated(full)[1].tolist() == [False, True, True, False]


def responses(seed: int, widths: dict[str, int], stimuli: int = 60) -> dict[str, np.ndarray]:
    shared = np.random.default_rng(0).normal(size=(stimuli, 6))
    rng = np.random.default_rng(seed)
    return {n: shared @ rng.normal(size=(6, w)) + rng.normal(size=(stimuli, w)) for n, w in widths.items()}


@pytest.mark.parametrize("null", ["none", "shuffle"])
def test_scores_are_the_same_and_layers_of_low_rank_are_fitted_again(null: str) -> None:
    x, y = responses(1, {"a": 8, "low": 8, "wide": 20}), responses(2, {"b": 8, "c": 50})
    x["low"][:, 4:] = x["low"][:, :4]
    options = {"metrics": ["procrustes", "cca"], "null": null, "draws": 19}
    expected = align(x, y, **options)  # type: ignore[arg-type]
    with polar.forced(True):
        found = align(x, y, **options)  # type: ignore[arg-type]
    for column in ("score", "score_global", "null_quantile") if null != "none" else ("score", "score_global"):
        assert np.allclose(found[column], expected[column], atol=1e-8, equal_nan=True), column


def test_a_block_of_36_pairs_takes_few_operations_and_waits_for_the_assignment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {f"layer{i}": 8 for i in range(6)}
    x, y = (Arrays(responses(seed, names), "x") for seed in (1, 2))
    pairs, folds = list(product(names, names)), 5
    moments = accumulate(x, y, pairs, assign(60, folds), Pass(torch.device("cpu"), chunk=60))
    metrics = [MEASURES[name] for name in ("linear", "procrustes", "permutation", "soft_matching")]
    directions = ("x->y", "y->x")
    with polar.forced(True), Operations() as operations, copies_to_the_host(monkeypatch) as copies:
        tile = Tile(moments, [moments], pairs, range(folds), metrics, None)
        (block,) = tile.blocks
        found = tile.observed(block, directions)
    assert operations.count / (len(pairs) * folds) <= 15
    assert sorted(copies) == [(180, 8), (180, 8), (180, 8, 8)]  # what the assignment needs
    (table,) = rows.observed(tile, directions, None, None)
    assert len(found) == 8
    assert len(table) == 8 * len(pairs) * folds


def test_maps_of_low_rank_that_are_carried_over_to_several_sets_are_fitted_again() -> None:
    x, y = responses(1, {"a": 8, "low": 8}), responses(2, {"b": 8, "wide": 20})
    x["low"][:, 4:] = x["low"][:, :4]
    here = Arrays(x, "x"), Arrays(y, "y")
    others = [tuple(Arrays({n: v**power for n, v in side.items()}, "x") for side in (x, y)) for power in (1, 2, 3)]
    pairs, options = list(product(x, y)), {"metrics": ["procrustes"]}
    expected = transfer(*here, others, pairs, **options)  # type: ignore[arg-type]
    with polar.forced(True):
        found = transfer(*here, others, pairs, **options)  # type: ignore[arg-type]
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.score, other.score, atol=1e-8)


def test_only_the_pairs_of_too_low_a_rank_are_fitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = responses(1, dict.fromkeys("abcd", 8)), responses(2, dict.fromkeys("efgh", 8))
    x["a"][:, 4:] = x["a"][:, :4]
    decomposed = []
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: decomposed.append(matrix) or eigh(matrix))
    with polar.forced(True):
        align(x, y, metrics=["procrustes"], folds=5)
    low_pairs, at_most = 4, 2  # decompositions of one factor: of the strong directions, and of what is left
    assert 0 < len(decomposed) <= at_most * low_pairs * 5
