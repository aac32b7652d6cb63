"""What options there are, for whoever has to read the words of a command.

The dataclasses are imported within the functions: they bring torch, which `--help` and `status` must not wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints


@cache
def texts() -> frozenset[str]:
    """Options whose value is text (a name or a path), or a list of texts: ``dataset.root``, ``model.checkpoints`` …"""
    from convergence.experiment.compose import schemas

    prefixes = {"config": [""], "model": ["model.", "against."]}
    return frozenset(
        name
        for group, options in schemas()
        for prefix in prefixes.get(group, [f"{group}."])
        for name in _texts(options, prefix)
    )


def _texts(options: type, prefix: str) -> Iterator[str]:
    hints = get_type_hints(options)
    for field in fields(options):
        kinds = {hints[field.name], *get_args(hints[field.name])}
        kinds |= {inner for kind in kinds for inner in get_args(kind)}
        if (str in kinds and dict not in {getattr(kind, "__origin__", None) for kind in kinds}) or _is_path(field):
            yield prefix + field.name
        for kind in kinds:
            if is_dataclass(kind):
                yield from _texts(kind, f"{prefix}{field.name}.")  # type: ignore[arg-type]


def _is_path(field: Any) -> bool:
    return bool(field.metadata.get("path"))


@cache
def names() -> tuple[str, ...]:
    """Every option's full name, with the default choices."""
    from omegaconf import DictConfig, OmegaConf

    from convergence.experiment.compose import compose

    found: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        for name in node:
            found.append(f"{prefix}{name}")
            if isinstance(node, DictConfig) and isinstance(node._get_node(name), DictConfig) and node[name]:
                walk(node[name], f"{prefix}{name}.")

    walk(OmegaConf.structured(compose()), "")
    return tuple(found)


def choices_with(option: str) -> list[str]:
    """The choices of the option's group that have it, such as ``axis=training`` for ``axis.checkpoints``."""
    from convergence.experiment.compose import conf_folder

    group, _, name = option.partition(".")
    files = sorted((conf_folder() / group).glob("*.yaml")) if name else []
    return [f"{group}={file.stem}" for file in files if _has(_schema(file), name.split("."))]


def _has(options: Any, names: list[str]) -> bool:
    """Whether the dataclass has the option; what a mapping holds is anyone's guess."""
    hints = get_type_hints(options)
    kinds = [kind for kind in (hints.get(names[0]), *get_args(hints.get(names[0]))) if kind is not None]
    return bool(kinds) and (len(names) == 1 or any(is_dataclass(k) and _has(k, names[1:]) for k in kinds))


def _schema(file: Path) -> type:
    """The dataclass that a choice's file fills, itself or by the choice that it goes on from."""
    from omegaconf import OmegaConf

    from convergence.experiment.compose import schema

    first = OmegaConf.load(file).defaults[0]
    if isinstance(first, str):
        return _schema(file.with_stem(first))
    ((group, name),) = first.items()
    return schema(group.removeprefix("/").partition("@")[0], name)


def is_group(name: str, folders: list[Path]) -> bool:
    """Whether there is a folder of choices of that name, ours or one that ``--config-dir`` names."""
    from convergence.experiment.compose import conf_folder

    return any((folder / name).is_dir() for folder in [conf_folder(), *folders])
