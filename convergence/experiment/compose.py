"""Hydra's side of the options: the schemas by name, and a config composed without the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from convergence.alignment.options import MetricConfig, NullConfig
from convergence.axes.options import DepthConfig, OodConfig, TrainingAxisConfig
from convergence.experiment.config import Config, PopulationConfig
from convergence.models import options as models
from convergence.stimuli import options as stimuli

_SCHEMAS: dict[str, dict[str, type]] = {
    "schema/config": {"main": Config},
    "schema/model": {
        "recipe": models.RecipeConfig,
        "library": models.LibraryConfig,
        "module": models.ModuleConfig,
        "arrays": models.ArraysConfig,
        "population": PopulationConfig,
    },
    "schema/dataset": {
        "base": stimuli.DatasetConfig,
        "shapes": stimuli.ShapesConfig,
        "files": stimuli.FilesConfig,
        "module": stimuli.ModuleConfig,
    },
    "schema/metric": {"base": MetricConfig},
    "schema/null": {"base": NullConfig},
    "schema/axis": {"depth": DepthConfig, "training": TrainingAxisConfig, "ood": OodConfig},
}


def schemas() -> list[tuple[str, type]]:
    """The dataclasses of options, each with the group that it belongs to."""
    return [(group.removeprefix("schema/"), node) for group, nodes in _SCHEMAS.items() for node in nodes.values()]


def schema(group: str, name: str) -> type:
    """The dataclass that ``conf/`` calls by this group and name."""
    return _SCHEMAS[group][name]


@cache
def register() -> None:
    """Make the dataclasses known to Hydra, in groups of their own, so that no user is offered one as a choice."""
    OmegaConf.register_new_resolver("choices_of", _choices_of, replace=True)
    store = ConfigStore.instance()
    for group, schemas in _SCHEMAS.items():
        for name, node in schemas.items():
            store.store(group=group, name=name, node=node)


def conf_folder() -> Path:
    """The YAML files: ``conf/`` of a checkout, or inside the installed package."""
    here = Path(__file__).resolve().parents[1]
    checkout = here.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else here / "conf"


def _choices_of(group: str) -> str:
    """The choices of a group, as lines of the second column of the help text."""
    names = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
    return textwrap.fill(" ".join(names), 48).replace("\n", "\n" + 25 * " ")


def compose(overrides: Sequence[str] = ()) -> Config:
    """The typed config of these overrides, as ``python -m convergence run`` would compose it; for notebooks."""
    register()
    outer = GlobalHydra.instance().hydra  # of a run that composes a population's members
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            made = OmegaConf.to_object(hydra_compose("config", overrides=list(overrides)))
    finally:
        GlobalHydra.instance().hydra = outer
    assert isinstance(made, Config)
    return made
