"""Rows of chance: how the score of each pair of layers stands to the draws of each null.

One row per pair, metric, direction and null, of the scores averaged over folds; and one per draw on request.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convergence.alignment.chance import null as nulls
from convergence.alignment.chance.drawn import Drawn

COLUMNS = ["null", "draw", "draws", "p_value", "p_value_max", "null_quantile", "score_calibrated"]
_KEYS = ["layer_x", "layer_y", "metric", "direction"]
_WHOLE = ["fold", "dead_x", "dead_y", "draw", "draws"]  # not known in every row
_SCORES = ["score", "score_global", "score_transport"]


def rows(observed: pd.DataFrame, drawn: Drawn) -> pd.DataFrame:
    """Rows of chance for the observed ones, with the columns ``COLUMNS`` besides theirs.

    Parameters
    ----------
    observed : one row per pair, metric, direction and fold.
    drawn : the draws' scores of the same pairs, metrics, directions and folds.
    """
    groups = observed.groupby(_KEYS, sort=False)
    base = groups[["n_train", "n_test", "units_x", "units_y"]].first()
    base["score"] = groups.score.mean()
    parts = []
    for kind, by_key in drawn.scores.items():
        keys = [key for key in base.index if key in by_key]
        means = np.stack([_mean_over_folds(by_key[key]) for key in keys], axis=1)  # (draws, keys, 3)
        part = base.loc[keys].reset_index().assign(null=kind)
        parts.append(_against(part, means[..., 0], drawn.null))
        if drawn.null.keep:
            parts += [part.assign(draw=i, **dict(zip(_SCORES, mean.T, strict=True))) for i, mean in enumerate(means)]
    found = pd.concat(parts, ignore_index=True) if parts else observed.iloc[:0]
    found = found.reindex(columns=[*observed.columns, *COLUMNS])
    return found.astype(dict.fromkeys(_WHOLE, "Int64"))


def _mean_over_folds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws, 3) without the folds that have no score, as a table's mean leaves them out."""
    known = ~np.isnan(scores)
    total = np.where(known, scores, 0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full_like(total, np.nan), where=known.any(axis=1))


def _against(part: pd.DataFrame, null: NDArray[np.float64], options: nulls.Null) -> pd.DataFrame:
    """The rows ``part`` with their place among their own draws, ``null`` (draws, rows)."""
    score = part.score.to_numpy()
    tau = nulls.quantile(null, options.alpha)
    return part.assign(
        draws=len(null),
        p_value=nulls.p_value(score, null),
        p_value_max=nulls.p_value(score, _highest(part, null)),
        null_quantile=tau,
        score_calibrated=nulls.calibrated(score, tau),
    )


def _highest(part: pd.DataFrame, null: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest score of each draw among all source layers that are compared with a row's target layer."""
    target = part.layer_y.where(part.direction == "x->y", part.layer_x)
    highest = np.empty_like(null)
    for places in part.groupby([target, part.metric, part.direction]).indices.values():
        highest[:, places] = np.fmax.reduce(null[:, places], axis=1)[:, None]
    return highest
