"""Before torch is loaded: threads that wait must sleep, as in a run (see ``convergence.__main__``)."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from convergence.system.process import prepare

prepare()


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command that runs inside a test sets up the log; the next test finds it as if none had run."""
    log = logging.getLogger("convergence")
    yield
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.NOTSET)
