"""Before torch is loaded: threads that wait must sleep, as in a run (see ``convergence.__main__``)."""

from __future__ import annotations

from convergence.system.process import prepare

prepare()
