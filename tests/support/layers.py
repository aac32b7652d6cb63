"""Layers' responses with something in common, and what the nulls make of them."""

from __future__ import annotations

import numpy as np

from convergence.alignment.chance import null as nulls
from convergence.alignment.folds import assign

SCORES = ["score", "score_global", "score_transport"]


def layers(seed: int, stimuli: int, widths: tuple[int, ...], level: float = 0.0) -> dict[str, np.ndarray]:
    shared = np.random.default_rng(0).normal(size=(stimuli, 12))
    rng = np.random.default_rng(seed)
    made = {}
    for i, n in enumerate(widths):
        signal = np.tanh(shared @ rng.normal(size=(12, n)) / 3) + rng.normal(size=(stimuli, n)) / 2
        made[f"layer{i}"] = signal + level * rng.normal(size=n)
    return made


def as_type(made: dict[str, np.ndarray], kind: type) -> dict[str, np.ndarray]:
    return {name: values.astype(kind) for name, values in made.items()}


def with_dead(made: dict[str, np.ndarray], value: float) -> dict[str, np.ndarray]:
    for values in made.values():
        values[:, :3] = value
    return made


def with_twins(made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for values in made.values():
        values[:, -4:] = values[:, :4]
    return made


CASES = {
    "float32": (as_type(layers(1, 200, (16, 24, 40)), np.float32), as_type(layers(2, 200, (16, 24, 36)), np.float32)),
    "float16": (as_type(layers(1, 200, (16, 24)), np.float16), as_type(layers(2, 200, (16, 30)), np.float16)),
    "dead units on one side": (with_dead(layers(1, 200, (16, 24)), 3.3), layers(2, 200, (16, 30))),
    "dead units on both sides": (with_dead(layers(1, 200, (16, 24)), 0), with_dead(layers(2, 200, (16, 30)), 1e4)),
    "fewer stimuli than units": (layers(1, 30, (40, 64)), layers(2, 30, (40, 48))),
    "means far above the spread": (layers(1, 200, (16, 24), 1e4), layers(2, 200, (16, 30), 1e4)),
    "the same in float32": (
        as_type(layers(1, 200, (16, 24), 1e4), np.float32),
        as_type(layers(2, 200, (16, 30), 1e4), np.float32),
    ),
    "layers of many units": (layers(1, 400, (150,)), layers(2, 400, (260,))),
    "duplicated units": (with_twins(layers(1, 200, (16, 24))), with_twins(layers(2, 200, (16, 30)))),
}


KEYS = ["layer_x", "layer_y", "metric", "direction"]


def reordered(x: dict[str, np.ndarray], draw: int, folds: int = 5) -> dict[str, np.ndarray]:
    rows = len(next(iter(x.values())))
    order = nulls.permutation(assign(rows, folds), 0, draw).numpy()
    return {name: values[order] for name, values in x.items()}


def turned(x: dict[str, np.ndarray], draw: int, dead: int = 0) -> dict[str, np.ndarray]:
    """Each layer times a random orthogonal matrix of its live units; the first ``dead`` are not."""
    made = {}
    for name, values in x.items():
        q = nulls.orthogonal(values.shape[1] - dead, 0, draw).numpy()
        made[name] = np.concatenate([values[:, :dead], values[:, dead:] @ q], axis=1)
    return made
