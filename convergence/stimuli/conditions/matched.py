"""Images within distribution and shifted ones of other files, made alike: one set of classes, one number, one order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from convergence.stimuli import folder
from convergence.stimuli.base import Stimuli, balanced, restricted
from convergence.stimuli.files import FileStimuli, opened
from convergence.stimuli.load import load
from convergence.stimuli.options import DatasetConfig, FilesConfig, OnError
from convergence.stimuli.shifts.square import cropped
from convergence.system.errors import UserError

_log = logging.getLogger("convergence")
_IN_MEMORY = ("fashion_mnist", "cifar10", "cifar100")


def unopened(config: DatasetConfig, split: str) -> Stimuli:
    """All images of a split ("test", "all"); of those in folders none is opened."""
    if isinstance(config, FilesConfig) and config.name not in _IN_MEMORY:
        return folder.listing(config, split)
    return load(config if config.name == "shapes" else replace(config, stimuli=None), split)


def alike(config: DatasetConfig, base: Stimuli, pools: Sequence[FileStimuli]) -> tuple[Stimuli, list[Stimuli]]:
    """Equally many of each, ``config.stimuli`` or as many as the smallest has, of the classes that all of them have.

    They are chosen by a seeded shuffle, the classes taking turns. If the smallest of them has its images in all the
    others, by class and file name (those of ImageNet-C are ImageNet's), then the i-th of each are of one photograph.
    Where those within distribution have one size, shifted ones are resized to it, and cropped to squares.

    Parameters
    ----------
    base, pools : within distribution and shifted, unopened.

    Returns
    -------
    Those within distribution, and the shifted ones in the order of ``pools``.

    Raises
    ------
    UserError
        If no class is common to all, or an image is broken.
    """
    classes = tuple(name for name in base.classes if all(name in pool.classes for pool in pools))
    if not classes:
        raise UserError(
            f"no class of dataset={config.name} is in all the sets of dataset.shifts={config.shifts.value}."
        )
    every = [restricted(images, classes) for images in (base, *pools)]
    together = _paired(every)
    groups = [together] if together else [[images] for images in every]
    smallest = min((images for group in groups for images in group), key=len)
    wanted = min(len(smallest), config.stimuli or len(smallest))
    on_error = config.on_error if isinstance(config, FilesConfig) else OnError.stop
    found = [images for group in groups for images in _chosen(group, wanted, config.seed, on_error)]
    skipped = sum(images.skipped for images in found)
    if skipped:
        _log.warning("%d broken images of dataset.shifts=%s were skipped.", skipped, config.shifts.value)
    count = min(map(len, found))
    if not count:
        raise UserError(f"{smallest.name} has no images that can be used: see dataset.shifts_root and dataset.root.")
    if count < (config.stimuli or max(map(len, every))):
        _log.info("%d stimuli within distribution and under each shift: %s has no more.", count, smallest.name)
    within, *shifted = (images if len(images) == count else images.take(range(count)) for images in found)
    pixels = None if isinstance(within, FileStimuli) else within.pixels([0])
    if pixels is not None:  # a recipe takes images of the size that it was trained on
        shifted = [cropped(images, pixels.shape[-1], pixels.shape[-1]) for images in shifted]
    return within, shifted


def _paired(every: Sequence[Stimuli]) -> list[Stimuli] | None:
    """The images that all have, in one order; None if that is not all of the smallest."""
    places = [{_key(image_id): i for i, image_id in enumerate(images.ids)} for images in every]
    common = set(places[0]).intersection(*places[1:])
    if len(common) < min(map(len, places)):
        return None
    keys = sorted(common)
    return [images.take([place[key] for key in keys]) for images, place in zip(every, places, strict=True)]


def _key(image_id: str) -> str:
    return PurePosixPath(image_id).with_suffix("").as_posix()


def _chosen(group: Sequence[Stimuli], wanted: int, seed: int, on_error: OnError) -> list[Stimuli]:
    """The first of each, in one order, and of files the first that are whole."""
    order = balanced(group[0].labels, seed).tolist()
    files = [images.take(order) for images in group if isinstance(images, FileStimuli)]
    if len(files) == len(group):
        return list(opened(files, wanted, on_error))
    return [images.take(order[:wanted]) for images in group]
