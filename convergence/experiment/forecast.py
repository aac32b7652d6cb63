"""What a command will take, judged before anything is trained or fetched: by untrained networks of its kinds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from convergence.axes.comparison import Comparison
from convergence.axes.options import DepthConfig, OodConfig, Pairs, TrainingAxisConfig
from convergence.experiment.config import Config
from convergence.experiment.estimate import Estimate, about, estimate
from convergence.experiment.members import architecture, label, members, together
from convergence.models.options import ArchitectureConfig, ArraysConfig, ModelConfig, is_trained_here
from convergence.models.training import checkpoint_steps, steps_per_epoch
from convergence.stimuli import load as stimuli

Plan = Callable[..., list[Comparison]]


@dataclass(frozen=True)
class Forecast:
    """Networks, bytes on disk, bytes of memory, and seconds of extraction and scoring, of all runs together."""

    networks: int
    images: int
    cache_bytes: float
    memory_bytes: float
    seconds: float
    figures: bool = False

    def __str__(self) -> str:
        return (
            f"at most {self.networks:,} networks, {self.images:,} images to extract, "
            f"{self.cache_bytes / 2**20:,.0f} MiB on disk, {self.memory_bytes / 2**20:,.0f} MiB of memory, "
            f"besides training {about(self.seconds, self.figures)}."
        )


def forecast(runs: Sequence[Config], plans: Mapping[str, Plan], device: torch.device) -> Forecast:
    """Of these runs together, as if nothing were extracted yet; a network that several share counts once.

    Runs of the same architectures are judged by the first of them.
    """
    judged: dict[str, Estimate] = {}
    networks: dict[str, Estimate] = {}
    points: dict[str, int] = {}
    scoring = 0.0
    for run in runs:
        sides = [one for side in (run.model, run.against) if side is not None for one in members(side)]
        kind = repr([architecture(one) for one in sides])
        if kind not in judged:
            judged[kind] = _judge(run, sides, plans, device)
            points[kind] = _points(run)
        scoring += judged[kind].scoring_seconds * points[kind]
        networks |= {label(one): judged[kind] for one in sides}
    each = [(e, e.images / e.networks) for e in networks.values()]
    times = max(points.values(), default=1)
    return Forecast(
        networks=len(networks),
        images=round(sum(images for _, images in each)) * times,
        cache_bytes=sum(e.cache_bytes / e.networks for e, _ in each) * times,
        memory_bytes=max((e.memory_bytes for e in judged.values()), default=0.0),
        seconds=sum(e.extraction_seconds / e.networks for e, _ in each) * times + scoring,
        figures=any(run.figures for run in runs),
    )


def _judge(run: Config, sides: Sequence[ModelConfig], plans: Mapping[str, Plan], device: torch.device) -> Estimate:
    axis = run.axis
    if isinstance(axis, TrainingAxisConfig):  # one point of training: the others are like it
        axis = DepthConfig(pairs=Pairs.matched)
    if isinstance(axis, DepthConfig | OodConfig):
        axis = replace(axis, untrained=False)  # the stand-ins are that already
    one, other = _untrained(sides[0], [0, 1]), None
    if isinstance(one, ArraysConfig) and sides[1:]:
        one = together(sides[0], sides[-1])
    if architecture(sides[0]) != architecture(sides[-1]):
        one, other = _untrained(sides[0], [0]), _untrained(sides[-1], [1])
    stand_in = replace(run, model=one, against=other, axis=axis)
    with tempfile.TemporaryDirectory() as folder:
        comparisons = plans[axis.name](stand_in, folder=Path(folder), device=device)
        return estimate(replace(stand_in, cache=folder), comparisons, device)


def _untrained(side: ModelConfig, seeds: list[int]) -> ModelConfig:
    if isinstance(side, ArraysConfig):
        return side
    bare = replace(architecture(side), seeds=replace(side.seeds, init=seeds, order=None))
    if is_trained_here(bare):
        assert isinstance(bare, ArchitectureConfig)
        return replace(bare, training=replace(bare.training, epochs=0))
    return bare


def _points(run: Config) -> int:
    """States of each network that are compared; of a user's training runs, their files are not counted: two."""
    axis = run.axis
    if isinstance(axis, DepthConfig | OodConfig):
        return 1 + axis.untrained
    if not isinstance(axis, TrainingAxisConfig):
        return 1
    if axis.checkpoints:
        return len(axis.checkpoints)
    if not is_trained_here(run.model):
        return 2
    assert isinstance(run.model, ArchitectureConfig)
    images = run.dataset.train_images or len(stimuli.load(run.dataset, "train"))
    return len(checkpoint_steps(run.model.training, steps_per_epoch(run.model.training, images)))
