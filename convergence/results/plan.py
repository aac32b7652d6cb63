"""``plan.json`` of a population's folder: its runs, by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from convergence.system.errors import UserError
from convergence.system.files import write_atomic

PLAN = "plan.json"  # in a population's folder: its runs, by name


def write_plan(folder: Path, runs: Mapping[Path, str]) -> None:
    """``plan.json``: run folder, as seen from ``folder``, → what is compared in it."""
    plan = {os.path.relpath(place, folder): name for place, name in runs.items()}
    text = json.dumps(plan, indent=1) + "\n"
    path = folder / PLAN
    if not path.is_file() or path.read_text() != text:
        write_atomic(path, lambda temporary: temporary.write_text(text))


def read_plan(folder: Path) -> dict[Path, str] | None:
    """The runs of the population whose folder this is; None if it is no such folder."""
    path = folder / PLAN
    if not path.is_file():
        return None
    try:
        return {Path(os.path.normpath(folder / place)): name for place, name in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{path} is no plan of a population: give its run command again.") from None
