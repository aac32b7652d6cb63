"""The obvious way, per pair and fold on the activations: scikit-learn, scipy and POT. An oracle, not a fast one."""

from __future__ import annotations

import numpy as np
import ot
import pandas as pd
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

DEAD = 1e-6


def alive(a: np.ndarray) -> np.ndarray:
    return a.std(axis=0) > DEAD * np.maximum(np.abs(a.mean(axis=0)), np.abs((a - a[:1]).mean(axis=0)))


def scores(prediction: np.ndarray, target: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Mean Pearson r over units that vary, and the Frobenius correlation; predictions are of target - mean."""
    r = []
    for p, t in zip(prediction.T, target.T, strict=True):
        if t.std() > DEAD * abs(t.mean()):
            spread = p.std() > 1e-9 * max(np.abs(p).max(), 1e-30)
            r.append(np.corrcoef(p, t)[0, 1] if spread else 0.0)
    a, b = prediction, target - mean
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.mean(r)) if r else np.nan, float((a * b).sum() / norm) if norm else 0.0


def partial_isometry(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """scipy's Procrustes on zero-padded matrices; on the numerical range where that is not unique."""
    width = max(a.shape[1], b.shape[1])
    wide_a = np.pad(a, ((0, 0), (0, width - a.shape[1])))
    wide_b = np.pad(b, ((0, 0), (0, width - b.shape[1])))
    rotation, _ = orthogonal_procrustes(wide_a, wide_b)
    u, s, _ = np.linalg.svd(a.T @ b, full_matrices=False)
    if s[-1] <= 1e-12 * s[0]:
        u = u[:, s > 1e-12 * s[0]]
        return u @ (u.T @ rotation[: a.shape[1], : b.shape[1]])
    return rotation[: a.shape[1], : b.shape[1]]


def transport_score(plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    x, y = alive(a), alive(b)
    r = np.corrcoef(a[:, x].T, b[:, y].T)[: x.sum(), x.sum() :]
    mass = plan[np.ix_(x, y)]
    return float((mass * r).sum() / mass.sum())


Pair = tuple[np.ndarray, np.ndarray]


def score_pair(
    x: np.ndarray,
    y: np.ndarray,
    metric: str,
    direction: str,
    fold: int,
    penalty: float,
    folds: int = 5,
    held_out: Pair | None = None,
) -> dict[str, float]:
    """The three scores of one pair of layers on one fold, of ``held_out`` responses if these are others."""
    order = slice(None, None, 1 if direction == "x->y" else -1)
    source, target = (side.astype(np.float64) for side in (x, y)[order])
    source_test, target_test = (side.astype(np.float64) for side in (held_out or (x, y))[order])
    train, test = list(KFold(folds, shuffle=True, random_state=42).split(source))[fold]
    keep_s, keep_t = alive(source[train]), alive(target[train])
    a, b = source[train][:, keep_s], target[train][:, keep_t]
    a_test, b_test = source_test[test][:, keep_s], target_test[test][:, keep_t]
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    result = {"score_transport": np.nan}
    if metric == "linear":
        model = Ridge(alpha=penalty, solver="svd").fit(a - mean_a, b - mean_b)
        prediction = model.predict(a_test - mean_a)
    elif metric == "procrustes":
        prediction = (a_test - mean_a) @ partial_isometry(a - mean_a, b - mean_b)
    else:
        r = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
        if metric == "permutation" or a.shape[1] == b.shape[1]:
            i, j = linear_sum_assignment(-r)
            plan = np.zeros_like(r)
            plan[i, j] = 1 / len(i)
        else:
            uniform = [np.full(n, 1 / n) for n in r.shape]
            plan = ot.emd(*uniform, 1 - r, numItermax=10**7)
            j = np.arange(r.shape[1])
        result["score_transport"] = transport_score(plan, a_test, b_test)
        prediction = ((a_test - mean_a) @ plan)[:, np.sort(j)]
        b_test, mean_b = b_test[:, np.sort(j)], mean_b[np.sort(j)]
    score, overall = scores(prediction, b_test, mean_b)
    return result | {"score": score, "score_global": overall}


Layers = dict[str, np.ndarray]


def check(
    x: Layers, y: Layers, table: pd.DataFrame, folds: int = 5, held_out: tuple[Layers, Layers] | None = None
) -> pd.DataFrame:
    """Absolute differences of every score column of ``table`` from the obvious way, beside its keys."""
    rows = []
    for row in table.itertuples():
        other = (held_out[0][row.layer_x], held_out[1][row.layer_y]) if held_out else None
        expected = score_pair(
            x[row.layer_x], y[row.layer_y], row.metric, row.direction, row.fold, row.penalty, folds, other
        )
        keys = {"pair": f"{row.layer_x}-{row.layer_y}", "metric": row.metric, "direction": row.direction}
        gaps = {name: abs(getattr(row, name) - value) for name, value in expected.items()}
        both_missing = [name for name, value in expected.items() if np.isnan(value) and np.isnan(getattr(row, name))]
        rows.append(keys | {"fold": row.fold} | gaps | dict.fromkeys(both_missing, 0.0))
    return pd.DataFrame(rows)
