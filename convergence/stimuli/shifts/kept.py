"""Pixels that were made once, for the next network that sees them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Kept:
    """Pixels of lists of stimuli, those that were asked for last, up to a size in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lists: dict[str, tuple[Tensor, Tensor]] = {}  # the one that was used last at the end

    def pixels(self, key: str, chosen: Tensor, count: int, make: Callable[[Tensor], Tensor]) -> Tensor:
        """uint8 (n, 3, H, W) of the ``chosen`` of ``count`` stimuli; ``make`` is asked for those that are not kept."""
        found = self._lists.pop(key, None)
        if found is None:
            made = make(chosen)
            if count * made[0].numel() > self._most:
                return made
            found = torch.empty(count, *made.shape[1:], dtype=torch.uint8), torch.zeros(count, dtype=torch.bool)
            found[0][chosen], found[1][chosen] = made, True
            while sum(pixels.numel() for pixels, _ in self._lists.values()) + found[0].numel() > self._most:
                del self._lists[next(iter(self._lists))]
        pixels, known = self._lists[key] = found
        missing = chosen[~known[chosen]].unique()
        if len(missing):
            pixels[missing], known[missing] = make(missing), True
        return pixels[chosen]
