"""From a network's outputs to its answers in the classes of the stimuli."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from convergence.stimuli.base import Stimuli
from convergence.stimuli.imagenet import NUMBER_OF_CLASSES, places_of, understood
from convergence.system.notes import say_once


class AnswerReader:
    """Reads answers where it is understood which outputs speak for which class.

    Parameters
    ----------
    stimuli : their ``classes`` are answered in; the ``members`` of a class speak for it as its own name does.
    outputs : names of the network's outputs, such as the classes that it was trained on here; empty: these are no
        answers, and none are read. None: unknown; then a thousand of them are taken to be ImageNet's, to which classes
        belong by WordNet id or English name, and another number, if the stimuli have as many classes, to be these in
        their order.

    Where a class has no output for certain nothing is answered, and a warning says so once.
    """

    def __init__(self, stimuli: Stimuli, outputs: Sequence[str] | None = None) -> None:
        members = stimuli.members or [()] * len(stimuli.classes)
        self._names = [(name, *finer) for name, finer in zip(stimuli.classes, members, strict=True)]
        self._classes, self._outputs = stimuli.classes, outputs
        self._about = stimuli.name.partition("/")[0]  # one sentence for a data set under all shifts
        self._groups: dict[int, list[list[int]] | None] = {}  # by the number of outputs

    def read(self, logits: Tensor) -> Tensor | None:
        """(n,) int64: place of the class with the largest mean probability over the outputs that speak for it.

        Of outputs that speak for no class nothing is asked. Where a class has one output, it is the largest of these
        outputs; the sixteen categories are answered as the benchmark does (Geirhos et al. 2018, arXiv 1808.08750).

        Parameters
        ----------
        logits : (n, number of outputs).

        Returns
        -------
        None where a class has no output that is known to speak for it.
        """
        width = logits.shape[1]
        if width not in self._groups:
            self._groups[width] = self._find(width)
        groups = self._groups[width]
        if groups is None:
            return None
        if all(len(group) == 1 for group in groups):
            return logits[:, [group[0] for group in groups]].argmax(1)
        # The logarithm of the mean of the probabilities, but for a term that all classes share: nothing underflows.
        means = [logits[:, group].float().logsumexp(1) - math.log(len(group)) for group in groups]
        return torch.stack(means, 1).argmax(1)

    def _find(self, width: int) -> list[list[int]] | None:
        groups, problem = self._understood(width)
        if problem:
            say_once(f"accuracy on {self._about} is left empty: {problem}.", logging.WARNING)
        return groups

    def _understood(self, width: int) -> tuple[list[list[int]] | None, str]:
        """The outputs of each class, or None and why."""
        if len(self._classes) < 2:
            return None, "its images have no labels" if not self._classes else "it has one class"
        if self._outputs is not None and not self._outputs:
            return None, ""
        if self._outputs is not None:
            if len(self._outputs) != width:
                return None, f"the network has {width:,} outputs, of which {len(self._outputs):,} are known by name"
            return self._by_name(self._outputs)
        if width == NUMBER_OF_CLASSES:
            return self._of_imagenet()
        if width == len(self._classes):  # the same number of classes: taken to be these, in their order
            return [[i] for i in range(width)], ""
        some = ", ".join(self._classes[:3])
        return None, f"it is not known which of the network's {width:,} outputs are its classes ({some}, …)"

    def _by_name(self, outputs: Sequence[str]) -> tuple[list[list[int]] | None, str]:
        place = {name: i for i, name in enumerate(outputs)}
        if not all(place.keys() & names for names in self._names):  # a network of airliners, or of Airplanes
            ways = understood(outputs)
            place = {**{way: i for i, way in enumerate(ways) if ways.count(way) == 1}, **place}
        groups = [sorted({place[name] for name in names if name in place}) for names in self._names]
        return self._whole(groups, "the network's outputs")

    def _of_imagenet(self) -> tuple[list[list[int]] | None, str]:
        # Members tell better than their common name, which may be another thing's (crane).
        known = [members or [name] for name, *members in self._names]
        places = iter(places_of([each for members in known for each in members]))
        groups = [[i for i in islice(places, len(members)) if i is not None] for members in known]
        return self._whole(groups, "ImageNet's classes")

    def _whole(self, groups: list[list[int]], known: str) -> tuple[list[list[int]] | None, str]:
        """The groups, if each class has outputs, and none of another class's."""
        for name, group in zip(self._classes, groups, strict=True):
            if not group:
                return None, f"its class {name} is not clearly one of {known}"
        owner: dict[int, str] = {}
        for name, group in zip(self._classes, groups, strict=True):
            for output in group:
                if output in owner:
                    return None, f"its classes {owner[output]} and {name} are one and the same of {known}"
                owner[output] = name
        return groups, ""
