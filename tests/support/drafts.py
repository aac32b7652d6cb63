"""Figures as drafts: laid out and drawn as ever, but coarsely, and as PNG alone: a PDF takes seconds for its fonts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convergence.figures import style


def only(patch: pytest.MonkeyPatch, dpi: int = 40) -> None:
    """Until the patch is undone, figures are saved as ``name.png`` of so many dots per inch."""

    def save(figure: Any, folder: Path, name: str) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=dpi)
        return [folder / f"{name}.png"]

    patch.setattr(style, "save", save)
