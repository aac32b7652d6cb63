"""When do independently trained networks come to represent the world alike?

``extract`` reads a module's layers and ``align`` compares two sets of them in a notebook; ``run`` runs a composed
experiment. They are looked up on first use, so that ``from convergence import align`` needs torch, numpy, scipy and
pandas only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convergence.activations.notebook import extract as extract
    from convergence.alignment.align import align as align
    from convergence.experiment.run import run as run

__all__ = ["align", "extract", "run"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name == "align":
        from convergence.alignment.align import align

        return align
    if name == "extract":
        from convergence.activations.notebook import extract

        return extract
    if name == "run":
        from convergence.experiment.run import run

        return run
    raise AttributeError(f"module 'convergence' has no attribute {name!r}")
