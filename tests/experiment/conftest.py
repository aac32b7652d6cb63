"""Images to run on, and what a run says of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.folders import picture


@pytest.fixture
def images(tmp_path: Path) -> Path:
    place = tmp_path / "images"
    for i in range(30):
        picture(place / f"class{i % 2}" / f"{i}.png", i)
    return place


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    caplog.set_level(logging.INFO, "convergence")

    def told() -> str:
        text = caplog.text
        caplog.clear()
        return text

    return told
