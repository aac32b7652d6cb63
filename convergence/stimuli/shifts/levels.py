"""The seventeen shifts of the model-vs-human benchmark (Geirhos et al. 2021, arXiv 2106.07411) and their levels."""

from __future__ import annotations

from torch import Tensor

from convergence.stimuli.shifts import analogues, colour, edges, fourier, silhouettes
from convergence.stimuli.shifts.eidolon import eidolon
from convergence.stimuli.shifts.shift import Batch, Partner, Shift
from convergence.system.errors import UserError


def _eidolon(batch: Batch, level: str) -> Tensor:
    reach, coherence, grain = (int(part) for part in level.split("-"))
    return eidolon(batch.images, reach, coherence / 10, grain, batch.seeds)


def _eidolons(name: str, coherence: int, averaged: int) -> Shift:
    levels = tuple(f"{2**k}-{coherence}-10" for k in range(8))
    return Shift(name, levels, levels[1 : 1 + averaged], _eidolon)


def _low_pass(batch: Batch, level: str) -> Tensor:
    return fourier.low_pass(batch.images, float(level), batch.known().mean_grey)


def _high_pass(batch: Batch, level: str) -> Tensor:
    return fourier.high_pass(batch.images, float(level), batch.known().mean_grey)


def _power_equalisation(batch: Batch, level: str) -> Tensor:
    if level == "0":
        return colour.contrast(batch.images, 1.0)
    return fourier.power_equalisation(batch.images, batch.known().amplitude.to(batch.images.device))


def _phase_scrambling(batch: Batch, level: str) -> Tensor:
    size = batch.images.shape[-1]
    return fourier.phase_scrambling(batch.images, float(level), batch.uniform(size, size // 2 + 1))


def _uniform_noise(batch: Batch, level: str) -> Tensor:
    return colour.uniform_noise(batch.images, float(level), batch.uniform(*batch.images.shape[-2:]))


_CONTRASTS = ("c100", "c50", "c30", "c15", "c10", "c05", "c03", "c01")
_LOW = ("0", "1", "3", "5", "7", "10", "15", "40")
_HIGH = ("inf", "3", "1.5", "1", "0.7", "0.55", "0.45", "0.4")
_ANGLES = ("0", "30", "60", "90", "120", "150", "180")
_WIDTHS = ("0.00", "0.03", "0.05", "0.10", "0.20", "0.35", "0.60", "0.90")
_TURNS = ("0", "90", "180", "270")
_ONE = ("0",)
SHIFTS = {
    shift.name: shift
    for shift in (
        Shift("colour", ("cr", "bw"), ("bw",), lambda b, v: b.images if v == "cr" else colour.contrast(b.images, 1.0)),
        Shift("contrast", _CONTRASTS, _CONTRASTS[1:6], lambda b, v: colour.contrast(b.images, int(v[1:]) / 100)),
        Shift("high-pass", _HIGH, _HIGH[1:5], _high_pass, measured=True),
        Shift("low-pass", _LOW, _LOW[1:6], _low_pass, measured=True),
        Shift("phase-scrambling", _ANGLES, _ANGLES[1:5], _phase_scrambling),
        Shift("power-equalisation", ("0", "pow"), ("pow",), _power_equalisation, measured=True),
        Shift(
            "false-colour",
            ("true", "false"),
            ("false",),
            lambda b, v: b.images if v == "true" else colour.false_colour(b.images),
        ),
        Shift("rotation", _TURNS, _TURNS[1:], lambda b, v: colour.rotation(b.images, int(v))),
        _eidolons("eidolonI", 10, averaged=5),
        _eidolons("eidolonII", 3, averaged=4),
        _eidolons("eidolonIII", 0, averaged=3),
        Shift("uniform-noise", _WIDTHS, _WIDTHS[1:6], _uniform_noise),
        Shift("sketch", _ONE, _ONE, lambda b, _: analogues.sketch(b.images), analogue=True),
        Shift(
            "stylized",
            _ONE,
            _ONE,
            lambda b, _: analogues.stylized(b.images, b.others()),
            partner=Partner.image,
            analogue=True,
        ),
        Shift("edge", _ONE, _ONE, lambda b, _: edges.edge(b.images), analogue=True),
        Shift("silhouette", _ONE, _ONE, lambda b, _: silhouettes.silhouette(b.images), analogue=True),
        Shift(
            "cue-conflict",
            _ONE,
            _ONE,
            lambda b, _: analogues.cue_conflict(b.images, b.others()),
            partner=Partner.other_class,
            analogue=True,
        ),
    )
}


def find(name: str) -> Shift:
    """The shift of that name.

    Raises
    ------
    UserError
        If there is none.
    """
    if name not in SHIFTS:
        raise UserError(f"There is no shift {name}: choose from {', '.join(SHIFTS)}.")
    return SHIFTS[name]
