"""The user's own weights, in the shapes that people have."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence.system.errors import UserError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "model_ema", "state_dict_ema", "ema", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "model_ema.", "backbone.")
_SHOWN = 3


def read(path: Path) -> dict[str, Tensor]:
    """Name → tensor of a checkpoint file: bare, or wrapped under ``state_dict``, ``model``, ``net``, ``model_ema`` …

    Loaded with ``weights_only=True``: a file that would run code is refused.

    Raises
    ------
    UserError
        If the file is missing, is no checkpoint, or holds no weights.
    """
    if not path.is_file():
        raise UserError(f"model.checkpoints: {path} does not exist.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(
            f"{path} holds more than weights and is not loaded, since it could run code ({reason}): save its "
            "state_dict() alone with torch.save."
        ) from None
    except Exception as error:
        raise UserError(f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error}).") from None
    state = _unwrap(content)
    if state is None:
        raise UserError(
            f"{path} holds no weights: a state_dict was looked for at its top and under {', '.join(_WRAPPERS)}."
        )
    return state


def _unwrap(content: Any) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping):
        return None
    for name in _WRAPPERS:
        inner = _unwrap(content.get(name)) if isinstance(content.get(name), Mapping) else None
        if inner:
            return inner
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    return tensors or None


def rename(state: dict[str, Tensor], key_map: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights under the names that ``model.key_map`` makes of theirs.

    Parameters
    ----------
    key_map : regular expression → replacement, applied one after the other; of a list, the element is taken whose
        number the first group has captured.

    Raises
    ------
    UserError
        If an expression or its replacement is malformed, or two names become one.
    """
    names = {name: name for name in state}
    for expression, replacement in key_map.items():

        def replaced(match: re.Match[str], by: Any = replacement) -> str:
            return str(by[int(match[1])]) if isinstance(by, list) else match.expand(str(by))

        try:
            names = {old: re.sub(expression, replaced, new) for old, new in names.items()}
        except (re.error, ValueError, IndexError, TypeError) as error:
            raise UserError(f"model.key_map: '{expression}' → {replacement!r} cannot be applied ({error}).") from None
    made: dict[str, str] = {}
    for old, new in names.items():
        if new in made:
            raise UserError(f"model.key_map makes {new} of both {made[new]} and {old}: narrow its expressions.")
        made[new] = old
    return {names[old]: tensor for old, tensor in state.items()}


def strip(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that wrappers (DataParallel, compile, Lightning) put before every name."""
    while True:
        prefix = next((p for p in _PREFIXES if any(n.startswith(p) for n in state)), None)
        if prefix is None or any(n.startswith(prefix) for n in expected):
            return state
        state = {n.removeprefix(prefix): v for n, v in state.items()}


def outputs(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> int | None:
    """Number of classes of a checkpoint that differs from the network in its last layer alone, else None."""
    differ = [n for n, v in expected.items() if n in state and state[n].shape != v.shape]
    if not differ or len(differ) > 2 or any(state[n].shape[1:] != expected[n].shape[1:] for n in differ):
        return None
    last = list(expected)[-2:]
    return int(state[differ[0]].shape[0]) if set(differ) <= set(last) else None


def load(model: nn.Module, state: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Put the weights into the network.

    Raises
    ------
    UserError
        If names or shapes differ, with the first few.
    """
    expected = model.state_dict()
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    surplus = [n for n in state if n not in expected]
    shapes = [
        f"{n} {tuple(state[n].shape)} for {tuple(v.shape)}"
        for n, v in expected.items()
        if n in state and state[n].shape != v.shape
    ]
    found = [
        f"{what} {', '.join(names[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}"
        for what, names in (("it lacks", missing), ("it has the unknown", surplus), ("its shapes differ:", shapes))
        if names
    ]
    if found:
        raise UserError(f"{path} is not a checkpoint of {name}: {'; '.join(found)}. Choose the architecture it is of.")
    model.load_state_dict(dict(state), strict=False)
