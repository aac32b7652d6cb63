"""A run's folder, named by what makes the run different, so that the same command resumes the same run."""

from __future__ import annotations

import enum
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from convergence.alignment.metrics import catalogue
from convergence.alignment.metrics.catalogue import MEASURES, METRICS
from convergence.axes.recorded import without_images
from convergence.experiment import population
from convergence.experiment.config import Config
from convergence.models import patterns
from convergence.models.seeds import named
from convergence.stimuli.recorded import NAME
from convergence.system import user_code
from convergence.system.hashing import digest

# Options that change no number: they stay out of the hash that names the run.
_RUNTIME = (
    *("output", "cache", "device", "batch_size", "workers", "memory_gb", "cache_gb"),
    *("force", "figures", "progress", "debug"),
)
_NOT_NUMBERS = ("download", "on_error")  # of a data set: what was skipped, its images tell
_OUT_OF_DISTRIBUTION = ("shifts", "shifts_root", "levels", "conditions")  # of axis=ood alone
_PATHS = ("root", "shifts_root", "table", "checkpoints", "files", "stimulus_ids")
_SETS = ("levels", "conditions", "layers", "protocols", "stimuli_sweep")  # whose order changes no number


def run_folder(cfg: Config) -> Path:
    """``output/<axis>/<short name>-<hash of what makes the run different>``."""
    names = [cfg.model.name, *([cfg.against.name] if cfg.against else []), dataset_of(cfg)]
    if without_images(cfg):
        names = list(dict.fromkeys(names))
    metrics = metrics_of(cfg)
    names.append(
        {METRICS: "all", tuple(MEASURES): "extended"}.get(metrics, "+".join(catalogue.find(m).name for m in metrics))
    )
    short = "-".join(names).replace("/", "_")
    return Path(cfg.output) / cfg.axis.name / f"{short}-{run_hash(cfg)}"


def dataset_of(cfg: Config) -> str:
    """What the results call the stimuli: the data set's name, or that they were shown elsewhere."""
    return NAME if without_images(cfg) else cfg.dataset.name


def metrics_of(cfg: Config) -> tuple[str, ...]:
    """Names of the metrics in the order of the rows, whatever order they were given in."""
    return tuple(catalogue.ordered(cfg.metric.names))


def run_hash(cfg: Config) -> str:
    """Hash of every option that changes a number, in whatever order its values were given; paths from the root.

    What lies at these paths is no part of it: results say themselves what they were made from.
    """
    if population.of(cfg) is not None:  # what it stands for, however it is spelt
        return digest(sorted(run_hash(unit) for unit in population.units(cfg)))[:10]
    what = {name: _rooted(value) for name, value in plain(cfg).items() if name not in _RUNTIME}
    if not cfg.null.kinds:
        del what["null"]
    if without_images(cfg):
        what["dataset"] = {}
    what["metric"]["names"] = _rooted(list(metrics_of(cfg)))
    for name in ("model", "against"):
        if what[name] is not None:
            what[name] = _in_one_way(what[name])
            pairs = named(getattr(cfg, name).seeds)
            orders = None if all(init == order for init, order in pairs) else [order for _, order in pairs]
            what[name]["seeds"] = {"init": [init for init, _ in pairs], "order": orders}
    unused = _NOT_NUMBERS if cfg.axis.name == "ood" else (*_NOT_NUMBERS, *_OUT_OF_DISTRIBUTION)
    what["dataset"] = _in_one_way({name: v for name, v in what["dataset"].items() if name not in unused})
    what["axis"] = _in_one_way(what["axis"])
    return digest(what)[:10]


def _in_one_way(options: dict[str, Any]) -> dict[str, Any]:
    """Options of one group, with sets in order."""
    return options | {
        name: sorted(set(options[name]), key=str) for name in _SETS if isinstance(options.get(name), list)
    }


def _rooted(value: Any, is_path: bool = False) -> Any:
    """Options with the paths in them, of files and of the user's code, from the root."""
    if isinstance(value, dict):
        return {name: _rooted(inner, is_path or name in _PATHS) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rooted(inner, is_path) for inner in value]
    if user_code.is_spec(value):
        place, _, name = value.rpartition(":")
        return f"{user_code.absolute(place)}:{name}"
    if is_path and isinstance(value, str) and not value.startswith(patterns.PACKAGE):
        return str(user_code.absolute(value))
    return value


def plain(value: Any) -> Any:
    """Options as JSON has them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
