"""The shifts of the model-vs-human benchmark, made from any images, paired with the undistorted ones.

Twelve are the benchmark's own definitions (Geirhos et al. 2018, arXiv 1808.08750; 2021, arXiv 2106.07411); the other
five are drawn natively by ``dataset=shapes``, and imitated for photographs.
"""

from convergence.stimuli.shifts.distort import apply
from convergence.stimuli.shifts.draws import image_seed
from convergence.stimuli.shifts.levels import SHIFTS, find
from convergence.stimuli.shifts.paired import NATIVE, ShiftedStimuli, shifted
from convergence.stimuli.shifts.shift import Graded, Partner, Shift
from convergence.stimuli.shifts.square import square
from convergence.stimuli.shifts.statistics import Statistics, measure

__all__ = [
    "NATIVE",
    "SHIFTS",
    "Graded",
    "Partner",
    "Shift",
    "ShiftedStimuli",
    "Statistics",
    "apply",
    "find",
    "image_seed",
    "measure",
    "shifted",
    "square",
]
