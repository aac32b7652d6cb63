"""A look at the images that networks will see, before all of them are loaded."""

from __future__ import annotations

from dataclasses import replace

from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig
from convergence.system.errors import UserError
from convergence.system.notes import quietly

_COUNT = 16


def sample(dataset: DatasetConfig) -> Stimuli:
    """A few of the images, without the time that all of them take to load."""
    with quietly():
        try:
            return load(replace(dataset, stimuli=_COUNT), "all")
        except UserError:  # there are fewer
            return load(dataset, "all")


def common_size(stimuli: Stimuli) -> int | None:
    """The shorter side of the images in pixels, if all that are looked at have one size."""
    step = max(1, len(stimuli) // _COUNT)
    sizes = {stimuli.image(i).size for i in range(0, len(stimuli), step)}
    return min(sizes.pop()) if len(sizes) == 1 else None
