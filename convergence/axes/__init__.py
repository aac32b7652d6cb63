"""What an experiment compares: each axis turns a config into comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from convergence.models.network import Network


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same stimuli: the unit of work, and one shard of results.

    ``name`` is unique in the run, and a file's name.
    """

    name: str
    x: Network
    y: Network
    condition: str = "wd"
