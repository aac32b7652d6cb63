"""Turns: threads that want the same thing made wait for each other, so that it is made once; others do not wait."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock


class Turns:
    """A lock for each key."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._locks: dict[Hashable, Lock] = {}

    def of(self, key: Hashable) -> Lock:
        """The lock of all who want what ``key`` tells."""
        with self._lock:
            return self._locks.setdefault(key, Lock())
