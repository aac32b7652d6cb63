"""Which images an experiment compares networks on."""

from __future__ import annotations

from convergence.axes.options import Experiment
from convergence.models.options import is_trained_here


def split_of(config: Experiment) -> str:
    """The split "test" where networks are trained on the very data set that they are compared on, else "all"."""
    return "test" if any(map(is_trained_here, config.sides)) else "all"
