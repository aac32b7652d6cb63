"""A run's folder, named by what makes the run different, so that the same command resumes the same run."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.axes.recorded import without_images
from convergence.experiment import population
from convergence.experiment.config import Config
from convergence.models import patterns
from convergence.models.options import ArchitectureConfig, ArraysConfig
from convergence.models.recordings.files import contents, files_of
from convergence.stimuli.recorded import NAME
from convergence.system import user_code
from convergence.system.hashing import digest

# Options that change no number: they stay out of the hash that names the run.
_RUNTIME = (
    *("output", "cache", "device", "batch_size", "workers", "memory_gb", "cache_gb"),
    *("force", "figures", "progress", "debug"),
)


def run_folder(cfg: Config) -> Path:
    """``output/<axis>/<short name>-<hash of what makes the run different>``."""
    names = [cfg.model.name, *([cfg.against.name] if cfg.against else []), dataset_of(cfg)]
    if without_images(cfg):
        names = list(dict.fromkeys(names))
    metrics = metrics_of(cfg)
    names.append({METRICS: "all", tuple(MEASURES): "extended"}.get(metrics, "+".join(metrics)))
    short = "-".join(names).replace("/", "_")
    return Path(cfg.output) / cfg.axis.name / f"{short}-{run_hash(cfg)}"


def dataset_of(cfg: Config) -> str:
    """What the results call the stimuli: the data set's name, or that they were shown elsewhere."""
    return NAME if without_images(cfg) else cfg.dataset.name


def metrics_of(cfg: Config) -> tuple[str, ...]:
    """Names of the metrics in the order of the rows, whatever order they were given in."""
    return tuple(catalogue.ordered(cfg.metric.names))


def run_hash(cfg: Config) -> str:
    """Hash of every option that changes a number, and of the bytes of the user's files."""
    if population.of(cfg) is not None:  # what it stands for, however it is spelt
        return digest(sorted(run_hash(unit) for unit in population.units(cfg)))[:10]
    what = {name: value for name, value in plain(cfg).items() if name not in _RUNTIME}
    if not cfg.null.kinds:
        del what["null"]
    if without_images(cfg):
        del what["dataset"]
    what["files"] = [_hash_file(Path(p)) for side in (cfg.model, cfg.against) for p in _files(side)]
    return digest(user_code.identified(what))[:10]


def plain(value: Any) -> Any:
    """Options as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def _files(side: Any) -> list[str]:
    """Checkpoints and recordings."""
    if isinstance(side, ArraysConfig):
        beside = [side.stimulus_ids] if side.stimulus_ids else []
        return [*beside, *(str(p) for path in files_of(side).values() for p in contents(path))]
    if not isinstance(side, ArchitectureConfig):
        return []
    return [str(file.path) for run in patterns.runs(patterns.listed(side.checkpoints)) for file in run.files]


def _hash_file(path: Path) -> str:
    if not path.is_file():
        return "missing"  # loading it says so
    about = path.stat()
    return _hash_content(path, about.st_mtime_ns, about.st_size)


@cache
def _hash_content(path: Path, _time: int, _size: int) -> str:
    """Once for all the pairs of a population that a checkpoint is in."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
