"""``python -m convergence``."""

from __future__ import annotations

import sys

from convergence.cli import main

if __name__ == "__main__":
    sys.exit(main())
