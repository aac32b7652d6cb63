"""Figures as drafts, for tests of what is drawn and not of the files: a PDF takes seconds for its fonts."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from convergence.figures import style

_FULL = style.save


def only(patch: pytest.MonkeyPatch, dpi: int = 40) -> None:
    """Until the patch is undone, figures are saved as PNG alone, of so many dots per inch."""

    def save(figure: Any, folder: Path, name: str) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=dpi)
        return [folder / f"{name}.png"]

    patch.setattr(style, "save", save)


def laid_out(patch: pytest.MonkeyPatch, *but: str) -> None:
    """Until the patch is undone, all figures but these are laid out and drawn on nothing; their PNG is a dot."""
    _dots(patch, but, lambda figure: figure.draw_without_rendering())


def left_out(patch: pytest.MonkeyPatch, *but: str) -> None:
    """As :func:`laid_out`, where how a figure looks is of no concern: it is not even laid out."""
    _dots(patch, but, lambda figure: None)


def _dots(patch: pytest.MonkeyPatch, but: Sequence[str], draw: Callable[[Any], None]) -> None:
    dot = io.BytesIO()
    Image.new("L", (1, 1)).save(dot, "png")

    def save(figure: Any, folder: Path, name: str) -> list[Path]:
        if name in but:
            return _FULL(figure, folder, name)
        draw(figure)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(dot.getvalue())
        return [folder / f"{name}.png"]

    patch.setattr(style, "save", save)
