"""Before torch is loaded: threads that wait must sleep, as in a run (see ``convergence.__main__``)."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from convergence.system.process import prepare

prepare()
# Garbage is looked for less often: a quarter of the time in which a config is composed, and of much else, went there.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command that runs inside a test sets up the log; the next test finds it as if none had run."""
    log = logging.getLogger("convergence")
    yield
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.NOTSET)
