"""The paper's figures, drawn from results alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from convergence.errors import UserError


def draw(table: pd.DataFrame, folder: Path) -> list[Path]:
    """The figures of the axes that these rows belong to, as PDF and PNG under ``folder``.

    Raises
    ------
    UserError
        If there are no rows.
    """
    if table.empty:
        raise UserError(f"there are no rows to draw in {folder}: run the experiment first.")
    from convergence.figures import depth, ood, training

    axes = {"depth": depth.draw, "training": training.draw, "ood": ood.draw}
    return [path for axis, rows in table.groupby("axis") for path in axes[str(axis)](rows, folder)]
