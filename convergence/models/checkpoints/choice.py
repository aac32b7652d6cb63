"""Which of a checkpoint's weights are the network's: behind which wrappers and prefixes they stand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from convergence.system.errors import UserError

# Parts of names that wrappers put in anywhere: torch.compile, FSDP, activation checkpointing, DDP.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_fpw_module", "module")
_AVERAGE = re.compile(r"(?i)(^|[._])(ema|swa|averaged?)($|[._])")
_NEAR = 0.9  # of the best one's weights: as many make another set one to be asked about


@dataclass(frozen=True)
class Weights:
    """One set of weights: its place in the file, and the weights under the network's names as far as these fit."""

    container: str
    prefix: str
    state: dict[str, Tensor]
    fitting: int

    @property
    def name(self) -> str:
        return ".".join(part for part in (self.container, self.prefix.rstrip(".")) if part)

    @property
    def is_average(self) -> bool:
        """Whether these are averages of a training's weights rather than the weights themselves."""
        return _AVERAGE.search(self.name) is not None


def choose(
    states: Mapping[str, Mapping[str, Tensor]], expected: Mapping[str, torch.Size], key: str | None, path: Path
) -> tuple[Weights, list[Weights]]:
    """The weights of the network, and averages of the same training that stand beside them.

    Parameters
    ----------
    states : place in the file → names → tensors.
    expected : the network's names and shapes.
    key : ``model.weights_key``, a part of the place or of the prefix that tells which ones.

    Raises
    ------
    UserError
        If two different networks of this architecture are there and ``key`` chooses none, or there is none of that key.
    """
    every = [one for place, state in states.items() for one in _candidates(place, state, expected)]
    most = max(one.fitting for one in every)
    fit = [one for one in every if one.fitting >= max(1, _NEAR * most)]
    if most < len(expected) / 2:  # of another architecture, whichever they are
        fit = fit[:1]
    if key is not None:
        parts = key.strip(".").split(".")
        # Of the key's own place all prefixes may be meant: what fits best is.
        named = [one for one in every if _within(parts, one.name.split("."))]
        if not named:
            raise UserError(f"model.weights_key={key} is not in {path}: it has {', '.join(_names(fit, states))}.")
        most = max(one.fitting for one in named)
        fit = _distinct([one for one in named if one.fitting >= max(1, _NEAR * most)]) or named[:1]
        return _only(fit, path, key), []
    fit = _distinct(fit) or every[:1]
    raw = [one for one in fit if not one.is_average] or fit[:1]
    return _only(raw, path, None), [one for one in fit if one.is_average and one not in raw]


def _only(fit: list[Weights], path: Path, key: str | None) -> Weights:
    if len(fit) > 1:
        names = _apart([one.name for one in fit])
        more = f" under {key}" if key else ""
        raise UserError(
            f"{path} holds the weights of {len(fit)} networks{more}, {', '.join(names)}: choose one by "
            f"model.weights_key={names[0]}."
        )
    return fit[0]


def _candidates(place: str, state: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> list[Weights]:
    """The state behind each prefix under which names of the network stand; at least behind none."""
    plain = unwrapped(state, expected)
    counts: Counter[str] = Counter({"": 0})
    for name, tensor in plain.items():
        start = 0
        while True:
            inner = name[start:]
            if inner in expected and (tensor.shape == expected[inner] or not tensor.shape):
                counts[name[:start]] += 1
            dot = name.find(".", start)
            if dot < 0:
                break
            start = dot + 1
    most = max(counts.values())
    return [
        Weights(place, prefix, {n.removeprefix(prefix): v for n, v in plain.items() if n.startswith(prefix)}, count)
        for prefix, count in sorted(counts.items(), key=lambda item: (-item[1], len(item[0])))
        if count >= most / 2
    ]


def unwrapped(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Names without what wrappers put into them, where the network itself has no such part."""
    own = {part for name in expected for part in name.split(".")}
    drop = {part for part in _WRAPPERS if part not in own}
    names = {
        name: ".".join(part for i, part in enumerate(name.split(".")) if part not in drop) or name for name in state
    }
    if len(set(names.values())) < len(names):
        return dict(state)
    return {names[name]: tensor for name, tensor in state.items()}


def _distinct(found: list[Weights]) -> list[Weights]:
    """Without those that are equal to one before them: many wrappers hold one network under two names."""
    kept: list[Weights] = []
    for one in found:
        if not any(_same(one, other) for other in kept):
            kept.append(one)
    return kept


def _same(a: Weights, b: Weights) -> bool:
    shared = [name for name in a.state if name in b.state and a.state[name].shape == b.state[name].shape]
    return bool(shared) and all(
        a.state[n] is b.state[n] or torch.equal(a.state[n], b.state[n].to(a.state[n].dtype)) for n in shared
    )


def _within(parts: list[str], whole: list[str]) -> bool:
    return any(whole[i : i + len(parts)] == parts for i in range(len(whole)))


def _names(fit: list[Weights], states: Mapping[str, object]) -> list[str]:
    return [n for n in dict.fromkeys([*(one.name for one in fit), *states]) if n] or ["one set of weights, at its top"]


def _apart(names: list[str]) -> list[str]:
    """The shortest ends of dotted names that tell them apart."""
    for count in range(1, 1 + max(name.count(".") + 1 for name in names)):
        short = [".".join(name.split(".")[-count:]) for name in names]
        if len(set(short)) == len(names):
            return short
    return names
