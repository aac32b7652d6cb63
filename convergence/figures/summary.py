"""The result in a few lines of text."""

from __future__ import annotations

import pandas as pd

from convergence.figures import depth, style


def summary(table: pd.DataFrame) -> str:
    """Mean held-out score of corresponding layers: first, middle and last, trained and untrained; 80 columns wide."""
    trained, before = depth.split(table)
    lines = ["", f"{'held-out score (mean r)':<26}{'first layer':>12}{'middle':>10}{'last layer':>12}", "-" * 60]
    for title, part in (("", trained), (", untrained", before)):
        if part.empty:
            continue
        means, _ = depth.profile(part)
        for metric in style.LOOKS:
            line = means[means.metric == metric].sort_values("depth")["mean"].tolist()
            if line:
                cells = f"{line[0]:>12.3f}{line[len(line) // 2]:>10.3f}{line[-1]:>12.3f}"
                lines.append(f"{metric + title:<26}{cells}")
    accuracy = trained.drop_duplicates("source_weights").set_index("source_weights").source_accuracy.dropna()
    if len(accuracy):
        lines.append("accuracy: " + ", ".join(f"{name} {value:.1%}" for name, value in accuracy.items()))
    return "\n".join([*lines, ""])
