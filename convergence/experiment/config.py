"""The whole config: an experiment, and where and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from convergence.axes.options import Experiment
from convergence.models.options import ModelConfig
from convergence.system.options import Paths, number, path


class Pairing(Enum):
    """Which networks of a population meet: of one architecture, of two, or all."""

    all = "all"
    within = "within"
    across = "across"


@dataclass
class PopulationConfig(ModelConfig):
    """Many networks, of any sources. `layers`, `units`, `image_size` and `seeds` hold where a member names none."""

    name: str = "population"
    # A list, or a file of one (YAML, or text with a member a line): names of model choices (tiny_vgg),
    # library/name:weights (timm/resnet50:a1_in1k), or mappings such as {model: tiny_vgg, seeds: {init: [0, 1]}}.
    members: Any = None
    pairing: Pairing = Pairing.all
    per_job: int = number(1, least=1)  # comparisons that one job of a sweep makes
    part: list[str] | None = None  # which of the comparisons this job makes (null: all); a sweep sets it


@dataclass
class Config(Paths, Experiment):
    """An experiment, and options that change no number, and so stay out of the run's hash."""

    output: str = path("outputs")  # folder of all results
    cache: str = path("${output}/.cache")  # of responses, decoded images and trained networks
    device: str = "auto"  # auto: a GPU where there is one; or cpu, cuda, cuda:1, mps
    # Images that go through a network together; auto: by their size and the device.
    batch_size: Any = number("auto", least=1)  # noqa: RUF009
    workers: int | None = number(None, least=0)  # processes that prepare images; null: for a GPU one per core
    memory_gb: float | None = number(None, above=0)  # of scoring; null: half of what the process may use, and the card
    cache_gb: float = number(100.0, above=0)  # larger responses of one network are computed anew for each pass
    force: bool = False  # compute again what is there
    figures: bool = True  # draw them at the end
    progress: bool = True  # say how far the work is
    debug: bool = False  # show tracebacks
