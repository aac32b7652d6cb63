"""``python -m convergence``."""

from __future__ import annotations

import sys

from convergence.commands.main import main
from convergence.system.process import prepare

prepare()  # before a command loads torch

if __name__ == "__main__":
    sys.exit(main())
