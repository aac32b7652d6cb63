"""From a network's outputs to its answers in the classes of the stimuli."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convergence.stimuli.base import Stimuli
from convergence.stimuli.imagenet import class_order


class AnswerReader:
    """Reads answers where it is understood which outputs speak for which class.

    Parameters
    ----------
    stimuli : their ``classes`` are answered in; the ``members`` of a class speak for it as its own name does.
    outputs : names of the network's outputs. None: unknown; then a thousand of them are taken to be ImageNet's, and as
        many as the stimuli have classes to be these, in their order.
    """

    def __init__(self, stimuli: Stimuli, outputs: Sequence[str] | None = None) -> None:
        members = stimuli.members or [()] * len(stimuli.classes)
        self._names = [(name, *finer) for name, finer in zip(stimuli.classes, members, strict=True)]
        self._classes, self._outputs = stimuli.classes, outputs
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
        outputs = self._outputs or self._guess(width)
        if outputs is None or len(outputs) != width:
            return None
        place = {name: i for i, name in enumerate(outputs)}
        groups = [[place[name] for name in names if name in place] for names in self._names]
        return groups if all(groups) else None

    def _guess(self, width: int) -> Sequence[str] | None:
        if width == len(self._classes):
            return self._classes
        return class_order() if width == len(class_order()) else None
