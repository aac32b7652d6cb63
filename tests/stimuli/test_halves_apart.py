"""No image in both halves: under each of the seventeen shifts an image depends on images of its own fold alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convergence.alignment import folds
from convergence.axes.options import Protocol
from convergence.stimuli.base import ArrayStimuli
from convergence.stimuli.shifts import SHIFTS, shifted

M, SIZE, FOLDS = 20, 16, 4
FOLD = folds.assign(M, FOLDS, 42)


def photographs(changed: int | None = None) -> ArrayStimuli:
    """Noise in two classes; one of the images may be another one."""
    array = torch.randint(0, 256, (M, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    if changed is not None:
        array[changed] = 255 - array[changed].flip(-1)
    labels = torch.arange(M) % 2
    ids = tuple(f"i{i}" for i in range(M))
    return ArrayStimuli("noise", ("a", "b"), ids, labels, f"noise without {changed}", array=array)


def made(shift: str, changed: int | None = None) -> Tensor:
    level = SHIFTS[shift].averaged[-1]
    pixels = shifted(photographs(changed), shift, level, groups=FOLD).pixels(range(M))
    assert pixels is not None
    return pixels


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shifted_image_depends_on_images_of_its_own_fold_alone(shift: str) -> None:
    before = made(shift)
    for changed in (0, 7, 13):
        touched = (made(shift, changed) != before).flatten(1).any(1)
        assert touched[changed], "the image itself"
        assert (FOLD[touched] == FOLD[changed]).all()


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("shift", ["stylized", "cue-conflict"])
def test_no_held_out_image_shows_the_texture_of_one_that_the_map_was_fitted_on(shift: str, protocol: Protocol) -> None:
    images = shifted(photographs(), shift, "0", groups=FOLD)
    assert images.partners is not None
    for held_out in range(FOLDS):
        test = torch.where(held_out == FOLD)[0]
        train = torch.where(held_out != FOLD)[0]
        fitted_on = set(train.tolist())
        if protocol is Protocol.refit:  # shifted images, which show two photographs each
            fitted_on |= set(images.partners[train].tolist())
        assert not fitted_on & {*test.tolist(), *images.partners[test].tolist()}


@pytest.mark.parametrize("shift", ["stylized", "cue-conflict", "power-equalisation"])
def test_other_folds_make_other_images_and_the_fingerprint_tells(shift: str) -> None:
    level = SHIFTS[shift].averaged[-1]
    prints = {
        shifted(photographs(), shift, level, groups=groups).fingerprint
        for groups in (None, FOLD, folds.assign(M, FOLDS, 1), folds.assign(M, 5, 42))
    }
    assert len(prints) == 4


def test_images_that_are_distorted_on_their_own_are_shared_by_all_folds() -> None:
    alone = shifted(photographs(), "contrast", "c30", groups=FOLD)
    assert alone.fingerprint == shifted(photographs(), "contrast", "c30").fingerprint
