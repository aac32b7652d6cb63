"""From a file to a network with its weights; what had to be assumed for that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence.models.checkpoints import containers, files
from convergence.models.checkpoints.choice import Weights, choose, unwrapped
from convergence.models.checkpoints.keys import idle, rename
from convergence.models.checkpoints.renaming import proposed
from convergence.models.checkpoints.reparametrised import whole
from convergence.models.options import ArchitectureConfig, ModuleConfig
from convergence.system.errors import UserError

_SHOWN = 3
# Counters and statistics that wrappers keep beside the network's own weights.
_COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")
_COMPUTED = ("attn_mask", "relative_coords_table", "relative_position_index", "inv_freq")  # of older versions


@dataclass(frozen=True)
class Fit:
    """Weights that fit a network.

    Attributes
    ----------
    state : under the network's names and in its shapes.
    classes : number of outputs, where it is another than the architecture's own.
    missing : parameters that the file has no weights for.
    headless : whether these are of the network's last part alone.
    renamed : what to do if these are in the file by other names; "" if nothing there is like them.
    notes : what was assumed, in words.
    step : optimiser steps that the file says were done.
    """

    state: Mapping[str, Tensor]
    classes: int | None = None
    missing: tuple[str, ...] = ()
    headless: bool = True
    renamed: str = ""
    notes: tuple[str, ...] = ()
    step: int | None = None


def fit(config: ArchitectureConfig, model: nn.Module, path: Path, resizable: bool = True) -> Fit:
    """The weights in a file for such a network.

    Parameters
    ----------
    model : an untrained network of the architecture, with as many classes as it has by itself.
    resizable : whether it can be made with another number of classes.

    Raises
    ------
    UserError
        If the file can't be read, holds no weights, several networks', or another architecture's.
    """
    content = files.read(path)
    expected = model.state_dict()
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    states = {
        place: renamed
        for place, state in containers.states(content).items()
        if (renamed := whole(_renamed(state, config.key_map, shapes), expected))
    }
    if not states:
        raise UserError(f"{path} holds no weights: there is no tensor under any name in it.")
    chosen, averages = choose(states, shapes, config.weights_key, path)
    if chosen.prefix:  # rules for the network's own names, which stand behind it
        left = idle(containers.states(content)[chosen.container], config.key_map)
        left = idle(unwrapped(containers.states(content)[chosen.container], shapes), left)
        chosen = replace(chosen, state=rename(chosen.state, left))
    state = _with_head(chosen, states, shapes)
    classes = _outputs(state, shapes) if resizable else None
    differ = [n for n, shape in shapes.items() if n in state and _squeezed(state[n].shape) != _squeezed(shape)]
    resized = {n for n in differ if state[n].shape[:1] == (classes,) and state[n].shape[1:] == shapes[n][1:]}
    learned = {name for name, _ in model.named_parameters()} | {n for n in shapes if "running" in n}
    tied = _tied(model)
    missing = [
        n
        for n in shapes
        if n in learned and (n not in state or n in differ) and n not in resized and not tied.get(n, set()) & set(state)
    ]
    surplus = [n for n in state if n not in shapes and not n.endswith((*_COUNTERS, *_COMPUTED))]
    lacking = [n for n in missing if n not in state]
    needed = [n for n in lacking if not _in_head(n, shapes)] or lacking
    renaming = proposed(state, shapes, lacking, [n for n in surplus if state[n].is_floating_point()], needed)
    question = renaming.question(bool(config.key_map)) if renaming else ""
    asking = f"{path} lacks {_listed(lacking)} of {config.name}: {question}." if question else ""
    body = [n for n in surplus if _is_body(n, shapes) and state[n].is_floating_point()]
    wrong = [n for n in differ if n not in resized and not _in_head(n, shapes)]
    if body or wrong or len(missing) > len(learned) / 2:
        if any("_flat_param" in n for n in state):
            raise UserError(f"{path} holds a part of a network, as FSDP shards it: save its full state_dict.")
        sizes = [f"{n} {tuple(state[n].shape)} for {tuple(shapes[n])}" for n in wrong]
        if asking and not wrong:
            raise UserError(asking)
        raise _other(path, config, lacking, body or surplus, sizes)
    kept = {n: v for n, v in state.items() if n in shapes and (n not in missing)}
    return Fit(
        state={n: v if n in resized else v.reshape(shapes[n]) for n, v in kept.items()},
        classes=classes,
        missing=tuple(missing),
        headless=all(_in_head(n, shapes) for n in missing),
        renamed=asking,
        notes=_notes(chosen, averages, missing, surplus, question),
        step=containers.step(content),
    )


def _renamed(state: Mapping[str, Tensor], key_map: Any, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """By the rules of a key map, on names as they stand in the file; by what matches none, behind their wrappers."""
    found, left = rename(state, key_map), idle(state, key_map)
    return rename(unwrapped(found, shapes), left) if left else found


def build(model: nn.Module, fitting: Fit) -> nn.Module:
    """Put the weights into the network; those that the file lacks are zero, and nothing may depend on them."""
    own = model.state_dict()
    zeros = {name: torch.zeros_like(own[name]) for name in fitting.missing if name in own}
    model.load_state_dict({**zeros, **fitting.state}, strict=False)
    return model


def _with_head(
    chosen: Weights, states: Mapping[str, Mapping[str, Tensor]], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """With weights that stand under another prefix than the others, if that is plain: a head beside a backbone."""
    state = dict(chosen.state)
    if not chosen.prefix:
        return state
    beside = states[chosen.container]
    for name, shape in shapes.items():
        found = [n for n in beside if n.endswith(f".{name}") and beside[n].shape == shape]
        if name not in state and len(found) == 1 and _in_head(name, shapes):
            state[name] = beside[found[0]]
    return state


def _last(shapes: Mapping[str, torch.Size]) -> tuple[str, ...]:
    """The last layer's weight and bias."""
    names = list(shapes)
    owner = names[-1].rpartition(".")[0]
    return tuple(n for n in names if n.rpartition(".")[0] == owner)


def _outputs(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> int | None:
    """Number of classes of weights that differ from the network's in their last layer's outputs alone."""
    last = [n for n in _last(shapes) if n in state]
    differ = [n for n in last if state[n].shape != shapes[n]]
    if not differ or len(last) < len(_last(shapes)) or any(state[n].shape[1:] != shapes[n][1:] for n in differ):
        return None
    return int(state[differ[0]].shape[0])


def _squeezed(shape: torch.Size) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def _common(shapes: Mapping[str, torch.Size]) -> int:
    """How many leading parts all names share."""
    names = [name.split(".") for name in shapes]
    shared = 0
    while all(len(n) > shared + 1 for n in names) and len({n[shared] for n in names}) == 1:
        shared += 1
    return shared


def _part(name: str, shared: int) -> str:
    return ".".join(name.split(".")[: shared + 1])


def _in_head(name: str, shapes: Mapping[str, torch.Size]) -> bool:
    """Whether it belongs to the network's last part, where heads differ."""
    shared = _common(shapes)
    return _part(name, shared) == _part(list(shapes)[-1], shared)


def _is_body(name: str, shapes: Mapping[str, torch.Size]) -> bool:
    """Whether a weight that the network lacks belongs to a part that it has: then it is of a larger network."""
    shared = _common(shapes)
    return _part(name, shared) in {_part(n, shared) for n in shapes} and not _in_head(name, shapes)


def _tied(model: nn.Module) -> dict[str, set[str]]:
    """For each parameter that stands under several names, these."""
    names: dict[nn.Parameter, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, set()).add(name)
    return {name: group for group in names.values() if len(group) > 1 for name in group}


def _notes(
    chosen: Weights, averages: Sequence[Weights], missing: Sequence[str], surplus: Sequence[str], question: str
) -> tuple[str, ...]:
    found = []
    if chosen.prefix:
        found.append(f"the prefix {chosen.prefix} of the names is left out")
    if missing:
        asked = f" ({question})" if question else ""
        found.append(f"there are no weights that fit {_listed(_owners(missing))}, so that it is not compared{asked}")
    if surplus:
        found.append(f"{_listed(_owners(surplus))} {'is' if len(_owners(surplus)) == 1 else 'are'} not of the network")
    found += [
        f"averaged weights are there too and not used (model.weights_key={one.name} takes them)" for one in averages
    ]
    return tuple(found)


def _owners(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.split(".")[0] for name in names))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _other(
    path: Path, config: ArchitectureConfig, missing: Sequence[str], surplus: Sequence[str], sizes: Sequence[str]
) -> UserError:
    """``sizes`` : of each weight, that it has and that it should have."""
    found = [
        f"{what} {_listed(names)}"
        for what, names in (("it lacks", missing), ("it has the unknown", surplus), ("its shapes differ:", sizes))
        if names
    ]
    advice = "Choose the architecture that it is of"
    if isinstance(config, ModuleConfig):
        advice = "Make the network as wide and as deep as that of the weights (model.arguments, or model.factory)"
    renamed = ', or rename its weights (model.key_map=["PATTERN=>REPLACEMENT"])' if missing and surplus else ""
    return UserError(f"{path} is not a checkpoint of {config.name}: {'; '.join(found)}. {advice}{renamed}.")
