"""Pixels that were made once, for the next network that sees them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor

from convergence.system.turns import Turns


class Kept:
    """Pixels of lists of stimuli, those that were asked for last, up to a size in bytes.

    Threads that want the same list take turns, so that nothing is made twice; those that want others do not wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lists: dict[str, tuple[Tensor, Tensor]] = {}  # the one that was used last at the end
        self._lock = Lock()  # of the lists
        self._turns = Turns()

    def pixels(self, key: str, chosen: Tensor, count: int, make: Callable[[Tensor], Tensor]) -> Tensor:
        """uint8 (n, 3, H, W) of the ``chosen`` of ``count`` stimuli; ``make`` is asked for those that are not kept."""
        with self._turns.of(key):
            with self._lock:
                found = self._lists.get(key)
            if found is None:
                made = make(chosen)
                if count * made[0].numel() > self._most:
                    return made
                found = torch.empty(count, *made.shape[1:], dtype=torch.uint8), torch.zeros(count, dtype=torch.bool)
                found[0][chosen], found[1][chosen] = made, True
            pixels, known = found
            missing = chosen[~known[chosen]].unique()
            if len(missing):
                pixels[missing], known[missing] = make(missing), True
            with self._lock:
                self._lists.pop(key, None)
                self._lists[key] = found
                while sum(pixels.numel() for pixels, _ in self._lists.values()) > self._most:
                    del self._lists[next(iter(self._lists))]
            return found[0][chosen]
