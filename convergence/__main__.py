"""``python -m convergence``."""

from __future__ import annotations

from typing import NoReturn

from convergence.commands.main import main
from convergence.system.process import leave, prepare

prepare()  # before a command loads torch


def run() -> NoReturn:
    """The command that the process was started with, and the end of the process."""
    leave(main())


if __name__ == "__main__":
    run()
