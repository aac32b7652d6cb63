"""Training: independently trained networks at the same points of training (Fig 1C), and at any two points."""

from __future__ import annotations

import logging
from itertools import product
from pathlib import Path

import torch

from convergence.alignment.metrics import catalogue
from convergence.axes.comparison import Comparison, compare, held_out, pairs_of
from convergence.axes.depth import nothing_to_compare
from convergence.axes.options import Experiment, Pairs, TrainingAxisConfig
from convergence.axes.recorded import refuse
from convergence.models import load as models
from convergence.models.network import Network
from convergence.models.options import Units
from convergence.models.pixels import pixels
from convergence.system.errors import UserError

_log = logging.getLogger("convergence")
_NEAR = 0.005  # epochs: how exactly axis.checkpoints must name a point inside the first one
_Run = dict[float, Network]  # by point of training: see _unit


def plan(config: Experiment, *, folder: Path, device: torch.device) -> list[Comparison]:
    """Each pair of training runs at their common points, corresponding layers, and raw pixels with each run's end.

    With ``cross_time``, each point with each other one, and each run with its own end.

    Raises
    ------
    UserError
        If that is no pair, there are no two points that all runs have, or the stimuli are missing or too few.
    """
    axis = config.axis
    assert isinstance(axis, TrainingAxisConfig)
    refuse(config, "a recording has no checkpoints")
    images = held_out(config)
    found = models.of_sides(config.sides, config.dataset, folder=folder, device=device, from_start=True)
    unit = _unit([run for group in found for run in group])
    groups = [[{float(getattr(n, unit)): n for n in run} for run in group] for group in found]
    runs = [run for group in groups for run in group]
    points = _points(runs, axis.checkpoints)
    tracks = [[[run[p] for p in points] for run in group] for group in groups]
    places = range(len(points))
    which = list(product(places, places)) if axis.cross_time else [(i, i) for i in places]
    pairs = pairs_of(tracks) if axis.between else []
    if axis.between and not pairs:
        raise nothing_to_compare(config)
    comparisons = [compare(f"pair-{k:03d}", x, y, which, Pairs.matched, images) for k, (x, y) in enumerate(pairs)]
    ends = [(track, track[-1:]) for group in tracks for track in group] if axis.baselines else []
    if axis.cross_time:
        to_end = [(i, 0) for i in places]
        comparisons += [compare(f"own-{k:03d}", x, y, to_end, Pairs.matched, images) for k, (x, y) in enumerate(ends)]
    # Pixels match no layer's width one to one, and no layer's positions.
    fits_pixels = not all(catalogue.find(name).equal_widths for name in config.metric.names)
    if fits_pixels and all(y.units is not Units.samples for _, (y,) in ends):
        baseline = [(pixels(y), y) for _, (y,) in ends]
        comparisons += [
            compare(f"pixels-{k:03d}", [x], [y], [(0, 0)], Pairs.all, images) for k, (x, y) in enumerate(baseline)
        ]
    return comparisons


def _unit(runs: list[list[Network]]) -> str:
    """What points of training are told by: epochs done, if all networks tell them, else steps; the same for all runs.

    Raises
    ------
    UserError
        If some are single networks, or some tell epochs alone and others steps alone.
    """
    for run in runs:
        if any(n.epoch is None and n.step is None for n in run) or len(run) < 2:
            raise UserError(
                f"{run[-1]} is one network, not a training run: name its checkpoints by a pattern such as "
                'model.checkpoints="runs/seed_{seed}/epoch_{epoch}.pth", or give a recipe model.training.epochs.'
            )
    for unit in ("epoch", "step"):
        if all(getattr(n, unit) is not None for run in runs for n in run):
            return unit
    by_step = next(run[-1] for run in runs if any(n.epoch is None for n in run))
    by_epoch = next(run[-1] for run in runs if any(n.step is None for n in run))
    raise UserError(
        f"the checkpoints of {by_epoch} tell epochs and those of {by_step} steps, so that none are of the same point "
        "of training: name both by {epoch}, or both by {step}."
    )


def _points(runs: list[_Run], wanted: list[float] | None) -> list[float]:
    """The points that are compared, in order; what some run lacks is left out and said."""
    everywhere = sorted(set.union(*(set(run) for run in runs)))
    common = [p for p in everywhere if all(p in run for run in runs)]
    for run in runs:
        lacking = [p for p in everywhere if p not in run]
        if lacking:
            _log.warning("%s lacks the checkpoints %s, which are left out.", run[max(run)], _listed(lacking))
    if wanted is None:
        chosen = common
    else:
        nearest = {w: min(common, key=lambda p, w=w: abs(p - w), default=None) for w in wanted}  # type: ignore[misc]
        far = [w for w, p in nearest.items() if p is None or abs(p - w) > _NEAR]
        if far:
            raise UserError(
                f"axis.checkpoints names {_listed(far)}, which not all training runs have: they have {_listed(common)}."
            )
        chosen = sorted({p for p in nearest.values() if p is not None})
    if len(chosen) < 2:
        raise UserError(
            f"the training axis needs two points of training that all runs have, and there are {len(chosen)}: "
            "add checkpoints, or choose more in axis.checkpoints."
        )
    return chosen


def _listed(points: list[float]) -> str:
    shown = [f"{p:.3g}" if p < 1 else f"{p:g}" for p in points]
    return ", ".join(shown if len(shown) <= 24 else [*shown[:12], "…", *shown[-3:]])
