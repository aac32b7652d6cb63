"""A table of results with two metrics, trained and untrained."""

from __future__ import annotations

import pandas as pd

from convergence.results import table as results


def table(seeds: int = 2, widths: tuple[int, int] = (5, 5), models: tuple[str, str] = ("a", "a")) -> pd.DataFrame:
    """Rows whose score falls with the distance between layers, and is higher for trained pairs."""
    rows = []
    for step in (0, 100):
        for s in range(seeds):
            for t in range(s + 1, seeds):
                for i in range(widths[0]):
                    for j in range(widths[1]):
                        x, y = i / (widths[0] - 1), j / (widths[1] - 1)
                        ends = [(models[0], s, f"layer{i}", x), (models[1], t, f"layer{j}", y)]
                        for direction, (a, b) in (("x->y", ends), ("y->x", ends[::-1])):
                            for bonus, metric in ((0.1, "procrustes"), (0, "soft_matching")):
                                for fold in range(2):
                                    score = 0.6 + bonus + 0.2 * (step > 0) - abs(x - y) / 2 + 0.01 * fold
                                    rows.append((a, b, step, direction, metric, fold, score))
    frame = pd.DataFrame(rows, columns=["a", "b", "source_step", "direction", "metric", "fold", "score"])
    for end, column in (("source", "a"), ("target", "b")):
        parts = ["model", "seed", "layer", "depth"]
        frame[[f"{end}_{p}" for p in parts]] = pd.DataFrame(frame[column].tolist(), index=frame.index)
        frame[f"{end}_weights"] = "seed" + frame[f"{end}_seed"].astype(str)
    frame = frame.assign(target_step=frame.source_step, axis="depth", run="r", n_train=80, n_test=20)
    return results.conform(frame).to_pandas()
