"""Images to run on, and what a run says of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.folders import pictures


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return pictures(tmp_path / "images")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    caplog.set_level(logging.INFO, "convergence")

    def told() -> str:
        text = caplog.text
        caplog.clear()
        return text

    return told
