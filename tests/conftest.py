"""Before torch is loaded: threads that wait must sleep, as in a run (see ``convergence.__main__``)."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
