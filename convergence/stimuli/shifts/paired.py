"""A data set under a shift, paired image by image with the undistorted one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from convergence.stimuli.base import Stimuli, as_image, select
from convergence.stimuli.shapes import Shapes, shapes
from convergence.stimuli.shifts.distort import VERSION, apply
from convergence.stimuli.shifts.draws import image_seed
from convergence.stimuli.shifts.kept import Kept
from convergence.stimuli.shifts.levels import find
from convergence.stimuli.shifts.partners import partners_of
from convergence.stimuli.shifts.square import square
from convergence.stimuli.shifts.statistics import Statistics, measure
from convergence.system.hashing import digest

# How dataset=shapes itself draws what can only be imitated in photographs.
NATIVE = {
    "edge": "outline",
    "silhouette": "silhouette",
    "sketch": "sketch",
    "stylized": "texture_swap",
    "cue-conflict": "cue_conflict",
}
_SAMPLE = 1000  # images that the statistics are of
_BATCH = 100
_ELEMENTS = 2**23  # of the images that are shifted at once; each takes some hundred bytes on the way
_kept = Kept(2**29)  # several networks see the same images
_bases = Kept(2**29)  # all levels of all shifts begin with the same images
_measured: dict[str, Statistics] = {}  # by fingerprint: every level of every shift needs the same ones
_measuring = Lock()


@dataclass
class ShiftedStimuli(Stimuli):
    """Images under a shift, made when asked for: the same ids, labels and classes as the undistorted ones.

    Attributes
    ----------
    base : squares of one size: the undistorted images, or, if ``native``, those that are drawn under the shift.
    shift, level : one of the seventeen, and one of its levels ("0" where the benchmark has none).
    seed : of what the shift draws at random; each image has a stream of its own by (seed, id, shift, level).
    native : the data set itself draws such images, nothing is left to do.
    partners : (M,) the images whose texture stylized and cue-conflict take; else None.
    groups : (M,) no image depends on those of another group: partners and statistics are of its own; None: of all.
    device : where the shift is computed; it changes no pixel.
    """

    base: Stimuli | None = None
    shift: str = ""
    level: str = ""
    seed: int = 0
    native: bool = False
    partners: Tensor | None = None
    groups: Tensor | None = None
    device: torch.device | str = "cpu"

    @property
    def analogue(self) -> bool:
        """Whether the images only resemble the benchmark's, which hands or other networks made."""
        return find(self.shift).analogue and not self.native

    def pixels(self, indices: Sequence[int]) -> Tensor:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        if self.native or not len(chosen):
            return _pixels(self.base, chosen)
        return _kept.pixels(self.fingerprint, chosen, len(self), self._in_parts)

    def _in_parts(self, chosen: Tensor) -> Tensor:
        first = _pixels(self.base, chosen[:1])
        batch = max(_ELEMENTS // first.numel(), 1)
        result = torch.empty(len(chosen), *first.shape[1:], dtype=torch.uint8)
        for group, places in self._by_group(chosen):
            for part in places.split(batch):
                result[part] = self._shifted(chosen[part], group)
        return result

    def _by_group(self, chosen: Tensor) -> Iterator[tuple[int | None, Tensor]]:
        """Groups, and the places in ``chosen`` of their images; all in one where a group makes no difference."""
        if self.groups is None or not find(self.shift).measured:
            yield None, torch.arange(len(chosen))
            return
        of = self.groups[chosen]
        for group in of.unique().tolist():
            yield group, torch.where(of == group)[0]

    def _shifted(self, chosen: Tensor, group: int | None) -> Tensor:
        device = "cpu" if in_worker() else self.device
        partners = None
        if self.partners is not None:
            partners = _pixels(self.base, self.partners[chosen]).to(device)
        return apply(
            _pixels(self.base, chosen).to(device),
            self.shift,
            self.level,
            seeds=_seeds([self.ids[i] for i in chosen.tolist()], self.seed, self.shift, self.level),
            statistics=self._statistics(group) if find(self.shift).measured else None,
            partners=partners,
        ).cpu()

    def _statistics(self, group: int | None) -> Statistics:
        """Of all images of a group, or of 1,000 by a seeded shuffle, the same whatever the shift and its seed."""
        assert self.base is not None
        members = None
        key = self.base.fingerprint
        if self.groups is not None and group is not None:
            members = torch.where(self.groups == group)[0]
            key = digest(key, members.tolist())
        with _measuring:
            if key not in _measured:
                labels = self.labels if members is None else self.labels[members]
                sample = select(labels, min(_SAMPLE, len(labels)), 0, self.name, "test")
                sample = sample if members is None else members[sample]
                _measured[key] = measure(_pixels(self.base, part) for part in sample.split(_BATCH))
            return _measured[key]

    def prepare(self) -> None:
        if find(self.shift).measured and not self.native:
            for group in [None] if self.groups is None else self.groups.unique().tolist():
                self._statistics(group)

    def image(self, i: int) -> Image.Image:
        return as_image(self.pixels([i])[0])


def shifted(
    base: Stimuli,
    shift: str,
    level: str,
    seed: int = 0,
    device: torch.device | str = "cpu",
    groups: Tensor | None = None,
) -> ShiftedStimuli:
    """The images of ``base`` under a shift.

    Photographs of several sizes are first made squares of 224 x 224 pixels, as ``square`` does. Edge, silhouette,
    sketch, stylized and cue-conflict are drawn by the data set itself if that is ``shapes``, else they are analogues.

    Parameters
    ----------
    groups : (M,) of each image, such as its fold: what is taken from other images is taken from those of its own group,
        so that no image enters both halves of a split.

    Raises
    ------
    UserError
        If the shift or the level is unknown, or there is no other image, or class, to take a texture from.
    """
    chosen = find(shift)
    level = chosen.level(level)
    native = isinstance(base, Shapes) and shift in NATIVE
    partners = None
    if isinstance(base, Shapes) and native:
        source: Stimuli = shapes(replace(base.config, rendering=NATIVE[shift]), base.split)
    else:
        source = square(base)
        if chosen.partner is not None:
            partners = partners_of(base, chosen, _seeds(base.ids, seed, shift, level), groups)
    if native or not (chosen.measured or chosen.partner):
        groups = None  # each image is distorted on its own
    key = () if groups is None else (groups.tolist(),)
    return ShiftedStimuli(
        name=f"{base.name}/{shift}/{level}",
        classes=base.classes,
        ids=base.ids,
        labels=base.labels,
        fingerprint=digest("shifted", VERSION, source.fingerprint, shift, level, seed, *key),
        skipped=base.skipped,
        members=base.members,
        base=source,
        shift=shift,
        level=level,
        seed=seed,
        native=native,
        partners=partners,
        groups=groups,
        device=device,
    )


def in_worker() -> bool:
    """Whether this is a process that prepares images: there a GPU that the parent has used cannot be."""
    return get_worker_info() is not None


def _pixels(base: Stimuli | None, chosen: Tensor) -> Tensor:
    assert base is not None

    def decoded(some: Tensor) -> Tensor:
        images = base.pixels(some.tolist())
        assert images is not None  # square() has seen to it
        return images

    if base.at_hand or not len(chosen):
        return decoded(chosen)
    return _bases.pixels(base.fingerprint, chosen, len(base), decoded)


def _seeds(ids: Sequence[str], seed: int, shift: str, level: str) -> list[int]:
    return [image_seed(seed, image_id, shift, level) for image_id in ids]
