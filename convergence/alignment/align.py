"""``align``: the project's scores for notebooks, and for scripts that measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from convergence.alignment.arrays import Arrays, drop
from convergence.alignment.chance import null as nulls
from convergence.alignment.metrics.catalogue import MEASURES, METRICS, resolve
from convergence.alignment.moments.accumulate import Pair
from convergence.alignment.score import DIRECTIONS, score
from convergence.system.device import resolve_device
from convergence.system.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Array = Any  # numpy array or torch tensor


def align(
    x: Mapping[str, Array] | Array,
    y: Mapping[str, Array] | Array,
    *,
    metrics: str | Callable[..., float] | Sequence[str | Callable[..., float]] = METRICS,
    folds: int = 5,
    seed: int = 42,
    pairs: Literal["all", "matched"] | Sequence[Pair] = "all",
    directions: Literal["both", "forward", "backward"] = "both",
    units: str = "center",
    device: str = "auto",
    memory_gb: float = 2.0,
    chunk: int | None = None,
    null: Literal["none", "shuffle", "rotation", "both"] = "none",
    draws: int = 200,
    alpha: float = 0.05,
    null_seed: int = 0,
    keep_draws: bool = False,
    on_nan: Literal["raise", "drop_units", "drop_stimuli"] = "raise",
) -> pd.DataFrame:
    """Align two networks' layers under maps of growing freedom, and score the maps on held-out stimuli.

    Parameters
    ----------
    x, y : one array of responses (M, N), or a mapping from layer name to such arrays, or to feature maps (M, C, H, W)
        that ``units`` reduces: arrays, data frames or tensors of any real type and memory order, never written to. The
        same M stimuli in the same order everywhere.
    metrics : of ``convergence list metrics``; by default the paper's. One that needs equal widths gives no row for
        a pair of unequal ones; similarities fit nothing and are read off the held-out fold alone. Also functions
        ``(x_train, y_train, x_test, y_test) -> float`` of your own on tensors (n, N), or ``"FILE.py:NAME"``; their
        rows carry NAME.
    folds, seed : ``sklearn.model_selection.KFold(folds, shuffle=True, random_state=seed)`` over stimuli.
    pairs : ``all``; ``matched``, the i-th layer of x with the i-th of y; or a list of name pairs.
    directions : ``forward`` predicts y from x, ``backward`` x from y.
    units : ``center``, ``mean``, ``samples`` (each position a sample) or ``flatten``; matrices stay as they are.
    device : ``auto`` takes a GPU where there is one.
    memory_gb : budget for moments and chunks; more layers than fit are tiled.
    chunk : stimuli read at a time; follows from the budget if None.
    null : also rows of chance. ``shuffle`` puts the stimuli of x in another order within their folds ("do they share
        anything?"). ``rotation`` turns the source by a random orthogonal matrix ("is its basis privileged?"): rows for
        the matching metrics only, since Procrustes ignores a rotation, and ridge all but ignores it.
    draws, null_seed : how many draws of each null, and the seed that they follow from.
    alpha : the level of ``null_quantile``.
    keep_draws : also one row for each draw.
    on_nan : what becomes of NaN and infinity. ``raise``; ``drop_units``: a unit that has one is left out, and counted
        in dead_x or dead_y; ``drop_stimuli``: a stimulus with one anywhere, on either side, is left out of everything,
        so that n_train and n_test shrink. ``DataFrame.attrs`` has ``dropped_units`` (by side and layer) or
        ``dropped_stimuli``.

    Returns
    -------
    One row per layer pair, metric, direction and fold: layer_x, layer_y, metric, direction ("x->y" or "y->x"), fold,
    score (mean Pearson r over live target units; the measure itself where it is no map), score_global (Frobenius
    correlation, of maps), score_transport (matching metrics), penalty (linear), n_train, n_test (samples), units_x,
    units_y, dead_x, dead_y (units left out).

    With a null also one row per layer pair, metric, direction and null, with the score averaged over folds, and the
    columns null, draw, draws, p_value = (1 + #{null ≥ score}) / (1 + draws), p_value_max (the same against the
    null's maximum over all source layers that are compared with this target layer), null_quantile (τ, the (1 - alpha)
    quantile of the null) and score_calibrated = max((score - τ) / (1 - τ), 0). The rows of folds have no ``null``, the
    rows of single draws have a ``draw`` and no p-value.

    Raises
    ------
    ValueError
        In one sentence, if a response is NaN or infinite (the layer and the row), if the numbers of stimuli differ,
        or if an argument is not one of those above.
    """
    _check_choice("directions", directions, DIRECTIONS)
    metrics = (metrics,) if isinstance(metrics, str) or callable(metrics) else tuple(metrics)
    for metric in metrics:
        if not callable(metric) and ":" not in str(metric):
            _check_choice("metrics", metric, MEASURES)
    if not metrics:
        raise UserError(f"metrics is empty: choose from {', '.join(MEASURES)}.")
    _check_choice("null", null, ("none", *nulls.CHOICES))
    chance = nulls.Null(nulls.CHOICES[null], draws, alpha, null_seed, keep_draws) if null != "none" else None
    nulls.say_where_idle(chance, resolve(metrics, "metrics"))
    _check_choice("on_nan", on_nan, ("raise", "drop_units", "drop_stimuli"))
    left, right = Arrays(x, "x", units), Arrays(y, "y", units)
    dropped = drop(left, right, on_nan)
    table = score(
        left,
        right,
        select_pairs(left, right, pairs),
        metrics=metrics,
        folds=folds,
        seed=seed,
        directions=directions,
        device=resolve_device(device),
        memory_gb=memory_gb,
        chunk=chunk,
        null=chance,
    )
    table.attrs |= dropped
    return table


def select_pairs(x: Any, y: Any, pairs: str | Sequence[Pair]) -> list[Pair]:
    """Names of the layer pairs: ``all``, ``matched`` (i-th with i-th), or a list that is checked."""
    if isinstance(pairs, str):
        _check_choice("pairs", pairs, ("all", "matched"))
        if pairs == "all":
            return [(a, b) for a in x.layers for b in y.layers]
        if len(x.layers) != len(y.layers):
            raise UserError(
                f"pairs='matched' needs as many layers on both sides, not {len(x.layers)} and {len(y.layers)}: "
                "use pairs='all' or a list of name pairs."
            )
        return list(zip(x.layers, y.layers, strict=True))
    chosen = [(a, b) for a, b in dict.fromkeys(tuple(p) for p in pairs)]
    for a, b in chosen:
        for name, side, layers in ((a, "x", x.layers), (b, "y", y.layers)):
            if name not in layers:
                raise UserError(f"pairs names layer '{name}', which {side} does not have: it has {', '.join(layers)}.")
    return chosen


def _check_choice(name: str, value: object, choices: Any) -> None:
    if value not in choices:
        raise UserError(f"{name}={value!r} is not known: choose from {', '.join(choices)}.")
