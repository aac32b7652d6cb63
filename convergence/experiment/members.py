"""Populations: many networks from any sources, as configs of one independently trained network each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convergence.experiment.compose import compose, conf_folder
from convergence.experiment.config import PopulationConfig
from convergence.models import patterns
from convergence.models.options import (
    ArchitectureConfig,
    ArraysConfig,
    Library,
    LibraryConfig,
    ModelConfig,
    RecipeConfig,
    SeedsConfig,
    is_trained_here,
)
from convergence.models.recordings.files import files_of
from convergence.models.seeds import named
from convergence.system.errors import UserError, nearest
from convergence.system.options import check

_FORMS = "a choice of model (tiny_vgg), library/name:weights (timm/resnet50:a1_in1k), or a mapping of model's options"


def members(config: ModelConfig) -> list[ModelConfig]:
    """One config for each independently trained network that ``config`` stands for, in its order.

    Raises
    ------
    UserError
        If a population's list or file is missing or not understood, or names a network twice.
    """
    if isinstance(config, PopulationConfig):
        found = [one for entry in _entries(config) for one in members(_member(entry, config))]
        for i, one in enumerate(found):
            if one in found[:i]:
                raise UserError(f"model.members names {label(one)} twice: name each network once.")
        return found
    if is_trained_here(config):
        return [
            replace(config, seeds=SeedsConfig([init], None if config.seeds.order is None else [order]))
            for init, order in named(config.seeds)
        ]
    if isinstance(config, ArraysConfig):
        return [replace(config, files={name: str(path)}) for name, path in files_of(config).items()]
    assert isinstance(config, ArchitectureConfig)
    alone: Any = replace(architecture(config), seeds=SeedsConfig(config.seeds.init[:1]))
    pretrained: list[ModelConfig] = [replace(alone, weights=[one]) for one in _weights(config)]
    own: list[ModelConfig] = [replace(alone, checkpoints=[one]) for one in _runs(config.checkpoints)]
    return pretrained + own or [replace(alone, seeds=SeedsConfig([seed])) for seed in config.seeds.init]


def label(member: ModelConfig) -> str:
    """For people, and for the names of folders: ``tiny_vgg seed0``, ``resnet18 IMAGENET1K_V1``."""
    if is_pretrained(member):
        runs = patterns.runs(patterns.listed(getattr(member, "checkpoints", None)))
        return f"{member.name} {' '.join([*_weights(member), *(run.name for run in runs)])}"
    if isinstance(member, ArraysConfig):
        return f"{member.name} {' '.join(files_of(member))}"
    kind = "seed" if is_trained_here(member) else "untrained"
    orders = member.seeds.order or member.seeds.init
    seeds = [f"{kind}{i}" + (f"-order{o}" if o != i else "") for i, o in zip(member.seeds.init, orders, strict=True)]
    return f"{member.name} {' '.join(seeds)}"


def architecture(member: ModelConfig) -> ModelConfig:
    """What members of one architecture have in common: everything but where their weights come from."""
    if isinstance(member, ArraysConfig):
        return replace(member, files=None)
    bare: Any = replace(member, seeds=SeedsConfig())
    if isinstance(bare, LibraryConfig):
        bare = replace(bare, weights=None)
    if isinstance(bare, RecipeConfig):
        bare = replace(bare, train=is_trained_here(bare))
    return replace(bare, checkpoints=None) if isinstance(bare, ArchitectureConfig) else bare


def is_pretrained(member: ModelConfig) -> bool:
    """Whether its weights were trained elsewhere."""
    return bool(_weights(member) or getattr(member, "checkpoints", None))


def _weights(member: ModelConfig) -> list[str]:
    return list(member.weights or []) if isinstance(member, LibraryConfig) else []


def together(a: ModelConfig, b: ModelConfig) -> ModelConfig:
    """Two members of one architecture as one config."""
    if isinstance(a, ArraysConfig):
        assert isinstance(b, ArraysConfig)
        return replace(a, files=_all_files(a, b))
    inits = [*a.seeds.init, *b.seeds.init]
    orders = None
    if a.seeds.order or b.seeds.order:
        orders = [*(a.seeds.order or a.seeds.init), *(b.seeds.order or b.seeds.init)]
    if not (is_pretrained(a) or is_pretrained(b)):
        return replace(a, seeds=SeedsConfig(inits, orders))
    assert isinstance(a, ArchitectureConfig)
    assert isinstance(b, ArchitectureConfig)
    checkpoints = [*patterns.listed(a.checkpoints), *patterns.listed(b.checkpoints)] or None
    both: Any = replace(a, seeds=SeedsConfig(a.seeds.init), checkpoints=checkpoints)
    return replace(both, weights=[*_weights(a), *_weights(b)] or None) if isinstance(a, LibraryConfig) else both


def _all_files(a: ArraysConfig, b: ArraysConfig) -> dict[str, str]:
    """Those of both; two that were named apart from different others may have one name."""
    files = {name: str(path) for one in (a, b) for name, path in files_of(one).items()}
    if len(files) == len(files_of(a)) + len(files_of(b)):
        return files
    paths = [str(path) for one in (a, b) for path in files_of(one).values()]
    return {name: str(path) for name, path in files_of(replace(a, files=paths)).items()}


def _runs(checkpoints: Any) -> list[str]:
    """Paths and patterns that stand for one training run each."""
    found = []
    for pattern in patterns.listed(checkpoints):
        seeds = [run.seed for run in patterns.runs([pattern])]
        found += [pattern] if seeds == [None] else [pattern.replace("{seed}", f"{{seed={seed}}}") for seed in seeds]
    return found


def _entries(config: PopulationConfig) -> list[Any]:
    given = config.members
    if isinstance(given, str):
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f"model={given}: there is no such file; give a list of networks, or a file of one.")
        text = path.read_text()
        if path.suffix in (".yaml", ".yml"):
            try:
                given = OmegaConf.to_container(OmegaConf.create(text))
            except Exception as error:
                raise UserError(f"{path} is not understood as YAML: {str(error).splitlines()[0]}.") from None
        else:
            given = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not isinstance(given, list) or not given:
        raise UserError(f"model.members={config.members} is no list of networks: give model=[…], each {_FORMS}.")
    return given


def _member(entry: Any, population: PopulationConfig) -> ModelConfig:
    """The typed config of one entry; what it leaves open is the population's."""
    options = _options(entry)
    choice = options.pop("model", None)
    base: Any = _choice(choice) if choice is not None else LibraryConfig()
    shared: dict[str, Any] = {}
    if not isinstance(base, ArraysConfig):  # a network's layers are no animal's areas
        shared = {n: getattr(population, n) for n in ("layers", "units", "image_size")}
        shared["seeds"] = dataclasses.asdict(population.seeds)
    try:
        typed = OmegaConf.structured(base)
        for name, value in shared.items():
            if value is not None and (name == "seeds" or typed[name] is None):
                OmegaConf.update(typed, name, value)
        made: Any = OmegaConf.to_object(OmegaConf.merge(typed, options))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"model.members: {entry} is not understood ({reason}): give {_FORMS}.") from None
    if made.name in ("", "???"):
        raise UserError(f"model.members: {entry} names no architecture: give {_FORMS}.")
    check(made, "model.members: ")
    return made


def _options(entry: Any) -> dict[str, Any]:
    if isinstance(entry, Mapping) and ("model" in entry or "library" in entry):
        options = {str(name): value for name, value in entry.items()}
        if isinstance(options.get("weights"), str):
            options["weights"] = [options["weights"]]
        return options
    if isinstance(entry, str) and entry in _choices():
        return {"model": entry}
    library, _, rest = entry.partition("/") if isinstance(entry, str) else ("", "", "")
    if library in {kind.value for kind in Library} and rest:
        name, _, weights = rest.partition(":")
        return {"library": library, "name": name, "weights": weights.split("+") if weights else None}
    raise UserError(f"model.members: '{entry}' is no network: give {_FORMS}; {nearest(str(entry), _choices())}")


def _choices() -> list[str]:
    return sorted(p.stem for p in (conf_folder() / "model").glob("*.yaml") if p.stem != "population")


@cache
def _choice(name: str) -> ModelConfig:
    if name not in _choices():
        raise UserError(f"model.members: there is no choice model={name}; {nearest(name, _choices())}")
    return compose([f"model={name}"]).model
