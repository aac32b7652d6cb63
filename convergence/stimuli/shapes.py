"""The embedded data set: sixteen outlines under varying pose, light, texture and colour. Nothing to download.

Each class has a texture family that it shares with one other class of another silhouette: in a share of the images
(``texture_reliability``, held-out ones too) the object wears it, else one of the other seven. Texture then narrows the
class down to two and not surely, shape leaves neighbours such as disc and octagon hard to tell apart: a network can
lean on both, and neither does as well as the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convergence.stimuli.base import Stimuli, as_image
from convergence.stimuli.drawing import DRAWS, INK, draw
from convergence.stimuli.options import ShapesConfig
from convergence.stimuli.outlines import CLASSES, Array
from convergence.stimuli.textures import FAMILIES
from convergence.system.errors import UserError
from convergence.system.hashing import digest
from convergence.system.turns import Turns

_VERSION = 2  # of the drawing: raise it whenever a pixel changes
RENDERINGS = ("natural", *INK, "texture_swap", "cue_conflict")
_SPLITS = {"train": 0, "test": 1}
_BATCH = 64  # images drawn together: their planes stay in a core's cache
_turns = Turns()  # of threads that want images of one set: each is drawn once
_KEPT_BYTES = 2**28  # drawn images are kept up to this size: several networks see the same ones


@dataclass
class Shapes(Stimuli):
    """The first M images of a split; image k of a seed is the same whatever M is."""

    config: ShapesConfig = field(default_factory=ShapesConfig)
    split: str = "test"

    def __post_init__(self) -> None:
        size = self.config.size
        self._kept = None
        if len(self) * 3 * size**2 <= _KEPT_BYTES:
            self._kept = torch.empty(len(self), 3, size, size, dtype=torch.uint8)
        self._drawn = torch.zeros(len(self), dtype=torch.bool)

    @property
    def at_hand(self) -> bool:
        return self._kept is not None

    def pixels(self, indices: Sequence[int]) -> Tensor:
        wanted = torch.as_tensor(indices, dtype=torch.int64)
        if self._kept is None:
            return self._draw(wanted)
        with _turns.of(self.fingerprint):
            missing = wanted[~self._drawn[wanted]]
            if len(missing):
                self._kept[missing] = self._draw(missing)
                self._drawn[missing] = True
        return self._kept[wanted]

    def _draw(self, wanted: Tensor) -> Tensor:
        if not len(wanted):
            return torch.empty(0, 3, self.config.size, self.config.size, dtype=torch.uint8)
        parts = [self._draw_batch(part.numpy()) for part in wanted.split(_BATCH)]
        return torch.from_numpy(np.concatenate(parts))

    def _draw_batch(self, k: NDArray[np.int64]) -> NDArray[np.uint8]:
        z = _uniforms(self.config.seed, self.split, k)
        label = k % len(CLASSES)
        return draw(label, worn(self.config, label, z), z, self.config.size, self.config.rendering)

    def image(self, i: int) -> Image.Image:
        return as_image(self.pixels([i])[0])


def shapes(config: ShapesConfig, split: str) -> Shapes:
    """The images of a split ("train", "test"), drawn when they are asked for.

    Raises
    ------
    UserError
        If the rendering is unknown, the reliability is no probability, the size is too small, or no number of images
        is given.
    """
    if config.rendering not in RENDERINGS:
        raise UserError(f"dataset.rendering={config.rendering} is not known: choose from {', '.join(RENDERINGS)}.")
    if not 0 <= config.texture_reliability <= 1:
        raise UserError(
            f"dataset.texture_reliability={config.texture_reliability} is no probability: give one from 0 to 1."
        )
    if config.size < 8:
        raise UserError(f"dataset.size={config.size} is too small to tell outlines apart: give at least 8.")
    option = "stimuli" if split == "test" else "train_images"
    count = getattr(config, option)
    if count is None or count < 1:
        raise UserError(
            f"dataset.{option}={'null' if count is None else count}, but dataset=shapes draws as many images as it is "
            f"told: give a number from 1 on."
        )
    reliability = config.texture_reliability if config.rendering == "natural" else None
    k = np.arange(count)
    return Shapes(
        name="shapes",
        classes=CLASSES,
        ids=tuple(f"shapes-{config.seed}-{split}-{i}" for i in range(count)),
        labels=torch.from_numpy(k % len(CLASSES)),
        fingerprint=digest("shapes", _VERSION, config.seed, split, config.size, reliability, config.rendering, count),
        config=config,
        split=split,
    )


def worn(config: ShapesConfig, label: NDArray[np.int64], draws: Array) -> NDArray[np.int64]:
    """Texture family of each object, (B,), from its class and two uniform draws."""
    if config.rendering == "texture_swap":
        return np.floor(draws[:, 1] * len(FAMILIES)).astype(np.int64)  # any: it says nothing of the class
    own = label % len(FAMILIES)
    # Under cue_conflict always that of some other class.
    reliable = 0.0 if config.rendering == "cue_conflict" else config.texture_reliability
    return np.where(draws[:, 0] < reliable, own, _other(own, draws))


def _other(own: NDArray[np.int64], z: Array) -> NDArray[np.int64]:
    """A family that is not the class's own, by draw 1."""
    return (own + 1 + np.floor(z[:, 1] * (len(FAMILIES) - 1)).astype(np.int64)) % len(FAMILIES)


def _uniforms(seed: int, split: str, k: NDArray[np.int64]) -> Array:
    """(B, DRAWS) numbers in [0, 1): each image has a stream of its own by (seed, split, k).

    Raw bits of Philox, because NumPy promises those, and not its distributions, across versions.
    """
    first = (2 * seed + _SPLITS[split]) % 2**64
    raw = np.stack([np.random.Philox(key=np.array([first, i], dtype=np.uint64)).random_raw(DRAWS) for i in k])
    return (raw >> np.uint64(11)) * 2.0**-53
