"""``model.key_map``: the names of weights under those of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from convergence.system.errors import UserError

_ARROW, _DROP = "=>", "!"


def mapping(key_map: Any) -> dict[str, Any]:
    """A key map as regular expression → replacement, from a mapping or a list of ``'PATTERN=>REPLACEMENT'``.

    Raises
    ------
    UserError
        If it is neither.
    """
    if not key_map:
        return {}
    if isinstance(key_map, Mapping):
        return {str(pattern): replacement for pattern, replacement in key_map.items()}
    rules = [key_map] if isinstance(key_map, str) else key_map
    if not isinstance(rules, list | tuple):
        raise UserError(f'model.key_map={key_map!r} is no mapping: write ["PATTERN{_ARROW}REPLACEMENT", …].')
    found: dict[str, Any] = {}
    for rule in rules:
        if not isinstance(rule, str) or _ARROW not in rule:
            raise UserError(
                f"model.key_map: '{rule}' has no {_ARROW}: write PATTERN{_ARROW}REPLACEMENT, or PATTERN{_ARROW}{_DROP} "
                "to drop what matches."
            )
        pattern, _, replacement = rule.partition(_ARROW)
        found[pattern.strip()] = replacement.strip()
    return found


def rename(state: Mapping[str, Tensor], key_map: Any) -> dict[str, Tensor]:
    """The weights under the names that ``model.key_map`` makes of theirs.

    Parameters
    ----------
    key_map : regular expression → replacement, applied one after the other; "!" drops the names that match; of a list,
        the element is taken whose number the first group has captured.

    Raises
    ------
    UserError
        If an expression or its replacement is malformed, or two names become one.
    """
    names = {name: name for name in state}
    for expression, replacement in mapping(key_map).items():

        def replaced(match: re.Match[str], by: Any = replacement) -> str:
            return str(by[int(match[1])]) if isinstance(by, list) else match.expand(str(by))

        try:
            if replacement == _DROP:
                names = {old: new for old, new in names.items() if not re.search(expression, new)}
            else:
                names = {old: re.sub(expression, replaced, new) for old, new in names.items()}
        except (re.error, ValueError, IndexError, TypeError) as error:
            raise UserError(f"model.key_map: '{expression}' → {replacement!r} cannot be applied ({error}).") from None
    made: dict[str, str] = {}
    for old, new in names.items():
        if new in made:
            raise UserError(f"model.key_map makes {new} of both {made[new]} and {old}: narrow its expressions.")
        made[new] = old
    return {new: state[old] for new, old in made.items()}


def idle(state: Mapping[str, Tensor], key_map: Any) -> dict[str, Any]:
    """The rules of a key map that match no name of the state, as the rules before them have made it."""
    found: dict[str, Any] = {}
    for rule, by in mapping(key_map).items():
        if any(re.search(rule, name) for name in state):
            state = rename(state, {rule: by})
        else:
            found[rule] = by
    return found
