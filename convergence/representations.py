"""What the networks of a run answered to its stimuli."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from convergence.activations import extract
from convergence.axes import Comparison, labels
from convergence.cache import Cached, Joined
from convergence.config import Config
from convergence.models.network import Network
from convergence.progress import progress
from convergence.stimuli.base import Stimuli


class Representations:
    """Responses from the cache, or extracted before anything is scored: each image once per network."""

    def __init__(self, comparisons: Sequence[Comparison], cfg: Config, device: torch.device) -> None:
        self._cfg, self._device = cfg, device
        self._open: dict[tuple[int, str], Cached] = {}  # read and verified once, however many comparisons they enter
        self._extract_all(comparisons)

    def _extract_all(self, comparisons: Sequence[Comparison]) -> None:
        """One set of stimuli after another, all networks that need it."""
        wanted: dict[str, tuple[Stimuli, dict[int, Network]]] = {}
        for comparison in comparisons:
            for images in comparison.all_stimuli:
                wanted.setdefault(images.fingerprint, (images, {}))[1].update({id(n): n for n in comparison.networks})
        total = sum(len(images) * len(networks) for images, networks in wanted.values())
        with progress("Extracting", total, "images") as advance:
            for images, networks in wanted.values():
                for network in networks.values():
                    self._open[id(network), images.fingerprint] = self._extract(network, images, advance)

    def _extract(self, network: Network, images: Stimuli, advance: Callable[[int], None]) -> Cached:
        cfg = self._cfg
        found = extract(
            network,
            images,
            cache=Path(cfg.cache),
            device=self._device,
            batch_size=cfg.batch_size,
            workers=cfg.workers,
            memory_gb=cfg.memory_gb,
            advance=advance,
        )
        if found.ids != images.ids:
            raise AssertionError("a network saw other stimuli")  # a bug of ours, never a user's
        return found

    def of(self, comparison: Comparison, images: Stimuli) -> tuple[Joined, Joined]:
        """Both sides' responses to these images."""
        x, y = (
            Joined([self._open[id(n), images.fingerprint] for n in side], labels(side))
            for side in (comparison.x, comparison.y)
        )
        return x, y
