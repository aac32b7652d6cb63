"""``python -m convergence``."""

from __future__ import annotations

import os
import sys

# Before torch is loaded: threads that wait must sleep. Where they spin, a run beside another program on the same cores
# trains several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from convergence.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
