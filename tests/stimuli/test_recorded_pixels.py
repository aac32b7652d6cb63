"""The seventeen shifts still make the pixels that they made when these were recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from convergence.stimuli.shifts import SHIFTS, apply, image_seed, measure

RECORDED = json.loads(Path(__file__).with_name("recorded_pixels.json").read_text())


def scenes() -> torch.Tensor:
    """Two coloured images of 40 × 40 pixels, made without a decoder or a library's resizing."""
    ink = torch.from_numpy(load_digits().images[:2] * (255 / 16)).round()
    ink = ink.repeat_interleave(5, 1).repeat_interleave(5, 2)
    ramp = torch.arange(40.0)
    colours = torch.stack([ink, ink.flip(2) * 0.5 + ramp, 200 - ink.mT * 0.6 + ramp], 1)
    return colours.clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("name", SHIFTS)
def test_pixels_are_within_one_grey_level_of_the_recorded_ones(name: str) -> None:
    images, level = scenes(), SHIFTS[name].averaged[-1]
    seeds = [image_seed(0, str(i), name, level) for i in range(2)]
    made = apply(images, name, level, seeds=seeds, statistics=measure([images]), partners=images.flip(0))
    recorded = torch.tensor(list(bytes.fromhex(RECORDED[name])))
    assert (made[:, :, ::7, ::5].flatten().int() - recorded).abs().max() <= 1
