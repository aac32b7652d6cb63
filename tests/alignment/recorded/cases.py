"""Cases whose scores are recorded: small responses made from seeds, and what is asked of them.

Responses are rounded to six decimals, so that they are the same bits wherever they are made. Matchings have one best
plan by a margin far above rounding: no two units are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from convergence import align
from convergence.alignment.arrays import Arrays
from convergence.alignment.score import transfer

FILE = Path(__file__).with_name("rows.parquet")
TEXT = ["layer_x", "layer_y", "metric", "direction", "null"]
CHANCE = ["null", "draw", "draws", "p_value", "p_value_max", "null_quantile", "score_calibrated"]  # only with a null

Values = NDArray[Any]
Network = Mapping[str, Values]

FITTED = ("linear", "procrustes", "permutation", "soft_matching", "partial_soft_matching", "cca", "pwcca")
READ_OFF = ("cka", "rsa", "mutual_knn")
ALL = (*FITTED, *READ_OFF)
MATCHING = ("permutation", "soft_matching", "partial_soft_matching")
NULLS = {"null": "both", "draws": 4, "alpha": 0.2, "keep_draws": True}
NAMES = ("stem", "body", "head", "exit")  # not in the order of the alphabet
THREADS = 2  # a budget is cut by how many threads share it

# ---------------------------------------------------------------- responses


def layer(seed: int, units: int, stimuli: int = 60, level: float = 0.0) -> Values:
    """(stimuli, units): six causes that all layers share, and noise; ``level`` is about the mean of each unit."""
    shared = np.random.RandomState(0).normal(size=(stimuli, 6))
    rng = np.random.RandomState(seed)
    signal = np.tanh(shared @ rng.normal(size=(6, units)) / 2) + rng.normal(size=(stimuli, units)) / 2
    return (signal + level * rng.uniform(0.8, 1.2, size=units)).round(6)


def network(seed: int, *widths: int, stimuli: int = 60, level: float = 0.0) -> dict[str, Values]:
    return {name: layer(100 * seed + i, widths[i], stimuli, level) for i, name in enumerate(NAMES[: len(widths)])}


def maps(seed: int, channels: int, side: int, stimuli: int = 60) -> Values:
    """(stimuli, channels, side, side) feature maps."""
    return layer(seed, channels * side * side, stimuli).reshape(stimuli, channels, side, side)


def tokens(seed: int, width: int, number: int, stimuli: int = 60) -> Values:
    """(stimuli, number, width)."""
    return layer(seed, number * width, stimuli).reshape(stimuli, number, width)


def low_rank(seed: int, units: int, rank: int, stimuli: int = 60) -> Values:
    """As many units as asked for, all of them mixtures of a few."""
    mixing = np.random.RandomState(seed + 1).normal(size=(rank, units)).round(6)
    return layer(seed, rank, stimuli) @ mixing


def scaled(values: Values, least: float) -> Values:
    """Units whose scales go from 1 down to ``least``."""
    return values * np.geomspace(1, least, values.shape[-1])


def held_out(k: int, stimuli: int = 60, folds: int = 3, seed: int = 42) -> NDArray[np.bool_]:
    """Which stimuli are in fold ``k``."""
    order = np.arange(stimuli)
    np.random.RandomState(seed).shuffle(order)
    return np.isin(np.arange(stimuli), np.array_split(order, folds)[k])


def dead(values: Values, units: slice, value: float = 7.0) -> Values:
    """The same with some units constant."""
    values = values.copy()
    values[:, units] = value
    return values


def silent(values: Values, units: slice, where: NDArray[np.bool_] | slice = slice(None)) -> Values:
    """The same with some units constant on some stimuli, at what the first stimulus has.

    Responses are shifted by those to the first stimulus, so that these units' variances are exactly zero. At another
    value they are rounding, of either sign, and so is the correlation of a prediction that a matching takes from them.
    """
    values = values.copy()
    values[where, units] = values[0, units]
    return values


def distorted(made: Network, seed: int) -> dict[str, Values]:
    """The same stimuli under a shift: other means, a lesser spread, and noise."""
    rng = np.random.RandomState(seed)

    def moved(values: Values) -> Values:
        mean = values.mean(axis=0)
        return mean + 0.5 * (values - mean) + rng.normal(size=mean.shape) + rng.normal(size=values.shape) / 2

    return {name: moved(values).round(6) for name, values in made.items()}


def as_type(made: Network, kind: type) -> dict[str, Values]:
    return {name: values.astype(kind) for name, values in made.items()}


# ---------------------------------------------------------------- cases


@dataclass(frozen=True)
class Case:
    """Two networks, and the options of ``align``; with ``others``, of ``transfer`` from the two to each of them."""

    x: Network
    y: Network
    options: Mapping[str, Any] = field(default_factory=dict)
    others: Sequence[tuple[Network, Network]] = ()


def _case(x: Network, y: Network, **options: Any) -> Case:
    return Case(x, y, {"metrics": ALL, "folds": 3, **options})


def _transfer(x: Network, y: Network, *others: tuple[Network, Network], **options: Any) -> Case:
    return Case(x, y, {"metrics": ALL, "folds": 3, **options}, others)


def _silent_cases() -> dict[str, Case]:
    """Units that are constant everywhere, on one fold alone, or on all folds but one."""
    a, b, wide = layer(1, 12), layer(2, 12), layer(3, 17)
    first, last, every = slice(0, 2), slice(-3, None), slice(None)
    some = held_out(1)
    x, y = {"a": dead(a, first)}, {"b": dead(b, last, value=0.0)}
    return {
        "dead in x": _case(x, {"b": b}, **NULLS),
        "dead in y": _case({"a": a}, y, **NULLS),
        "dead in both, unequally": _case(x, y, **NULLS),
        "dead in both, equally": _case(x, {"b": dead(b, first, value=-1e3)}, **NULLS),
        "dead, unequal widths": _case(x, {"b": dead(wide, last)}, **NULLS),
        "dead down to equal widths": _case({"a": a}, {"b": dead(wide, slice(0, 5))}, **NULLS),
        "all dead": _case({"a": a}, {"b": b, "c": dead(b, every)}, **NULLS),
        "constant in a held-out fold": _case({"a": silent(a, first, some)}, {"b": silent(b, last, some)}, **NULLS),
        "constant in the training folds": _case({"a": silent(a, first, ~some)}, {"b": silent(b, last, ~some)}, **NULLS),
        "constant or dead": _case({"a": silent(x["a"], last, some)}, {"b": silent(y["b"], first, ~some)}, **NULLS),
        "all constant in a held-out fold": _case({"a": a}, {"b": silent(b, every, some)}, **NULLS),
        "dead, by Gram matrices": _case(
            {"a": silent(dead(layer(4, 70), slice(0, 9)), slice(9, 12), some)},
            {"b": silent(dead(layer(5, 40), slice(0, 7)), slice(7, 9), ~some), "c": dead(layer(6, 64), first)},
            metrics=("linear", "procrustes"),
        ),
    }


def _sample_cases() -> dict[str, Case]:
    x = {"stem": maps(1, 6, 3), "body": maps(2, 4, 2), "head": layer(3, 8)}
    y = {"stem": maps(4, 6, 3), "body": maps(5, 9, 3), "head": maps(6, 5, 2), "exit": layer(7, 11)}
    one = {"maps": {"a": maps(1, 5, 3)}, "tokens": {"a": tokens(2, 5, 4)}, "many": {"a": maps(3, 3, 6)}}
    two = {"maps": {"b": maps(11, 5, 3)}, "tokens": {"b": tokens(12, 7, 4)}, "many": {"b": maps(13, 4, 6)}}
    return {
        "samples": _case(x, y, units="samples"),
        "samples, nulls": _case(one["maps"], two["maps"], units="samples", **NULLS),
        "samples of tokens": _case(one["tokens"], two["tokens"], units="samples", **NULLS),
        "samples, many": _case(
            one["many"], two["many"], units="samples", metrics=("linear", "soft_matching", "cka"), folds=2, **NULLS
        ),
        "center": _case(one["maps"], two["maps"], units="center"),
        "mean": _case(one["tokens"], two["maps"], units="mean"),
        "flatten": _case(one["maps"], two["tokens"], units="flatten"),
        "flatten, by Gram matrices": _case(
            one["many"], two["maps"], units="flatten", metrics=("linear", "procrustes"), directions="backward"
        ),
    }


def _gram_cases() -> dict[str, Case]:
    both = ("linear", "procrustes")
    x, y = {"a": layer(1, 70), "d": layer(2, 30)}, {"b": layer(3, 90), "c": layer(4, 20)}
    return {
        "more units than stimuli": _case(x, y, metrics=both, folds=4),
        "more units than stimuli, matched": _case(x, y, metrics=both, pairs="matched", directions="forward"),
        "more units than stimuli, one map": _case(x, y, metrics="procrustes", directions="backward"),
        "more units than stimuli, far from zero": _case(
            {"a": layer(1, 70, level=1e4)}, {"b": layer(3, 90, level=-1e4)}, metrics=both
        ),
        "more units than stimuli, float32": _case(
            as_type({"a": layer(1, 70)}, np.float32), as_type({"b": layer(3, 90)}, np.float16), metrics=both
        ),
        "more units than stimuli, low rank": _case({"a": low_rank(1, 70, 9)}, {"b": low_rank(3, 90, 14)}, metrics=both),
        "more units than stimuli, tiles": _case(
            {**x, "e": layer(5, 80)}, {**y, "f": layer(6, 64)}, metrics=both, memory_gb=6e-4
        ),
        "more units than stimuli, by moments": _case(
            {"a": layer(1, 70)}, {"b": layer(3, 64)}, metrics=(*both, "cca"), folds=2
        ),
        "more units than stimuli, nulls": _case({"a": layer(1, 70)}, {"b": layer(3, 20)}, metrics=both, **NULLS),
    }


def _transfer_cases() -> dict[str, Case]:
    x, y = network(1, 12, 9), network(2, 12, 16)
    first, second = ((distorted(x, s), distorted(y, s + 1)) for s in (3, 5))
    some, units = held_out(1), slice(0, 2)
    quiet = ({**x, "stem": silent(x["stem"], units)}, {**y, "body": silent(y["body"], units, some)})
    far_x, far_y = network(1, 12, 9, level=1e4), network(2, 12, 16, level=1e4)
    far = (distorted(far_x, 3), distorted(far_y, 4))
    spread_x, spread_y = {"a": maps(1, 5, 3)}, {"b": maps(2, 7, 3)}
    spread = (distorted(spread_x, 3), distorted(spread_y, 4))
    wide_x, wide_y = {"a": layer(1, 70)}, {"b": layer(2, 20)}
    singles = as_type(x, np.float32), as_type(y, np.float32)
    return {
        "transfer": _transfer(x, y, first, second),
        "transfer, matched backward": _transfer(
            x, y, first, second, pairs=[("stem", "stem"), ("body", "body")], directions="backward", folds=5, seed=7
        ),
        "transfer to silent units": _transfer(x, y, quiet, first),
        "transfer from silent units": _transfer(*quiet, (x, y), first),
        "transfer to the same": _transfer(x, y, (x, y)),
        "transfer, far from zero": _transfer(far_x, far_y, far, (far_x, far_y), metrics=FITTED),
        "transfer, float32": _transfer(*singles, tuple(as_type(side, np.float32) for side in first), first),
        "transfer, samples": _transfer(spread_x, spread_y, spread, (spread_x, spread_y), units="samples"),
        "transfer, more units than stimuli": _transfer(
            wide_x, wide_y, (distorted(wide_x, 3), distorted(wide_y, 4)), metrics=("linear", "procrustes")
        ),
        "transfer, tiles": _transfer(x, y, first, second, metrics=FITTED, memory_gb=1e-4),
    }


def _cases() -> dict[str, Case]:
    x, y = network(1, 8, 12, 15), network(2, 12, 10)
    pair = {"a": layer(1, 12)}, {"b": layer(2, 12)}
    uneven = {"a": layer(1, 9)}, {"b": layer(2, 16)}
    three = network(3, 10, 14, 21, stimuli=61), network(4, 10, 7, 18, stimuli=61)
    large = network(5, 24, 40, 32, stimuli=120), network(6, 36, 24, 40, stimuli=120)
    far = network(1, 12, 9, level=1e4), network(2, 12, 16, level=-1e4)
    return {
        "equal widths": _case(*pair, **NULLS),
        "coprime widths": _case(*uneven, **NULLS),
        "coprime widths, the wider first": _case(*uneven[::-1], **NULLS),
        "a multiple": _case({"a": layer(1, 7)}, {"b": layer(2, 21)}, **NULLS),
        "common divisors": _case({"a": layer(1, 12)}, {"b": layer(2, 8)}, **NULLS),
        "narrow": _case({"a": layer(1, 3)}, {"b": layer(2, 40, 90)[:60]}, **NULLS),
        "all pairs": _case(x, y),
        "all pairs, nulls": _case(
            x, y, metrics=("procrustes", "permutation", "soft_matching", "pwcca", "cka"), **NULLS
        ),
        "matched pairs, nulls": _case(*three, pairs="matched", seed=3, null_seed=5, **NULLS),
        "chosen pairs": _case(*three, pairs=[("head", "stem"), ("stem", "stem"), ("head", "body")], folds=5, seed=7),
        "pairs of large layers": _case(*large, metrics=("linear", *MATCHING), folds=2),
        "quarters of a product": _case({"a": layer(1, 132, 150)}, {"b": layer(2, 24, 150)}, metrics=FITTED, folds=2),
        "forward": _case(*uneven, directions="forward", **NULLS),
        "backward": _case(*uneven, directions="backward", **NULLS),
        "shuffle": _case(*pair, null="shuffle", draws=7, alpha=0.25),
        "rotation": _case(*uneven, null="rotation", draws=5, alpha=0.2, keep_draws=True),
        "rotation of what ignores it": _case(*pair, metrics=("procrustes", "cka"), null="rotation", draws=5, alpha=0.2),
        **{f"{metric} alone": _case(*network_pair(), metrics=metric, **NULLS) for metric in ALL},
        "far from zero": _case(*far, **NULLS, pairs="matched"),
        "far from zero, float32": _case(*(as_type(side, np.float32) for side in far), pairs="matched"),
        "float32": _case(*(as_type(side, np.float32) for side in pair), **NULLS),
        "float32 with float16": _case(as_type(pair[0], np.float32), as_type(pair[1], np.float16)),
        "low rank": _case({"a": low_rank(1, 14, 5)}, {"b": low_rank(3, 14, 6)}, **NULLS),
        "low rank with full rank": _case({"a": low_rank(1, 14, 5)}, {"b": layer(3, 11)}, **NULLS),
        "fewer stimuli than units": _case({"a": layer(1, 40)}, {"b": layer(2, 36)}, folds=2, **NULLS),
        "fewer stimuli than units, equal widths": _case({"a": layer(1, 40)}, {"b": layer(2, 40)}, folds=2, **NULLS),
        "unequal scales": _case(
            {"a": scaled(layer(1, 12), 1e-2)}, {"b": scaled(layer(2, 12)[:, ::-1], 1e-3)[:, ::-1]}, **NULLS
        ),
        "tiles": _case(*large, memory_gb=7e-4),
        "tiles, nulls": _case(*large, metrics=FITTED, folds=2, memory_gb=9e-4, **{**NULLS, "keep_draws": False}),
        "tiles, read off": _case(*large, metrics=READ_OFF, memory_gb=1.5e-4, **NULLS),
        "chunks": _case(*uneven, chunk=7, **NULLS),
        **_silent_cases(),
        **_sample_cases(),
        **_gram_cases(),
        **_transfer_cases(),
    }


def network_pair() -> tuple[dict[str, Values], dict[str, Values]]:
    """Two layers against one of another width and one of the same."""
    return network(7, 10), network(8, 10, 6)


CASES = _cases()

# ---------------------------------------------------------------- rows


def rows(case: Case) -> pd.DataFrame:
    """What today's code makes of a case: text as ``str``, numbers as float64; ``set`` counts the held-out sets."""
    with _threads(THREADS):
        tables = _transferred(case) if case.others else [align(case.x, case.y, device="cpu", **case.options)]
    table = pd.concat([table.assign(set=i) for i, table in enumerate(tables)], ignore_index=True)
    text = [name for name in table.columns if name in TEXT]
    table[text] = table[text].astype(object).fillna("").astype(str)
    return table.astype({name: np.float64 for name in table.columns if name not in TEXT})


def _transferred(case: Case) -> list[pd.DataFrame]:
    options = dict(case.options)
    units, pairs = options.pop("units", "center"), options.pop("pairs", list(product(case.x, case.y)))
    (x, y), *others = ((Arrays(a, "x", units), Arrays(b, "y", units)) for a, b in ((case.x, case.y), *case.others))
    return transfer(x, y, others, pairs, device="cpu", **options)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
