"""What the commands have in common: sentences on stderr, and where figures of several runs belong."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import TextIO


def say(sentence: str) -> None:
    """One sentence to the user, on stderr."""
    print(f"convergence: {' '.join(sentence.split())}", file=sys.stderr)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is at the moment: a caller may have replaced it since."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_plainly() -> None:
    """Messages of the package as plain sentences on stderr."""
    log = logging.getLogger("convergence")
    if not log.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


def common_folder(places: Sequence[str]) -> Path:
    """The folder that the figures of one run, or of several, belong into."""
    found = [Path(p).resolve() for place in places for p in glob(place, recursive=True)]
    folders = [p if p.is_dir() else p.parent for p in found]
    if len(folders) == 1:
        inner = [p.parent for p in folders[0].rglob("results.parquet")]
        return inner[0] if len(inner) == 1 else folders[0]
    return Path(os.path.commonpath(folders))
