"""Sentences that a user reads once, however often what they say is found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_log = logging.getLogger("convergence")
said: set[str] = set()  # in this process
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say_once(text: str, level: int = logging.INFO) -> None:
    """Log a sentence, unless it was logged before in this process."""
    if text not in said and not _quiet.get():
        said.add(text)
        _log.log(level, "%s", text)


@contextmanager
def quietly() -> Iterator[None]:
    """What is found within is only a first look, and not worth a sentence."""
    before = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(before)
