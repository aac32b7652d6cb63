"""Rules of ``model.key_map`` that would give weights the network's names: proposed, never applied unasked."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from convergence.models.checkpoints.keys import rename
from convergence.system.errors import UserError

_MOST = 200  # names of each side that are looked at: rules for numbered blocks hold for those beyond
_SHOWN, _WRITTEN = 3, 5  # names, and rules


@dataclass(frozen=True)
class Renaming:
    """Names in the file that may be meant for names of the network, and the rules that make these of them."""

    names: tuple[str, ...]
    rules: Mapping[str, str]

    def question(self, further: bool) -> str:
        """With the option that is its answer; ``further``: beside rules that are given."""
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        written = [f'"{pattern}=>{by}"' for pattern, by in self.rules.items()]
        listed = ",".join([*written[:_WRITTEN], *["…"] * (len(written) > _WRITTEN)])
        answer = f"add {listed} to model.key_map" if further else f"give 'model.key_map=[{listed}]'"
        return f"did you mean its {', '.join(self.names[:_SHOWN])}{more}? If so, {answer}"


def proposed(
    state: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    missing: Sequence[str],
    surplus: Sequence[str],
    needed: Collection[str],
) -> Renaming | None:
    """The fewest rules from unknown names to missing ones of the same shapes; None if that leaves out needed ones.

    Parameters
    ----------
    state : the file's weights.
    shapes : the network's.
    missing, surplus : the network's names without weights, and those of weights that it does not know.
    needed : those of the missing that have to be found.
    """
    alike = [pair for new in missing[:_MOST] for pair in _alike(new, surplus[:_MOST], state, shapes)]
    places = {name: i / len(names) for names in (list(state), list(shapes)) for i, name in enumerate(names)}
    known = [name for name in state if name in shapes]
    others = "|".join(sorted({re.escape(name.split(".")[0]) for name in known}))
    tried = {pair: list(_rules(*pair, others)) for pair in alike}
    harmless = {rule for rule in {*chain(*tried.values())} if not any(re.search(rule[0], name) for name in known)}
    rules: dict[str, str] = {}
    while alike:
        pairs = defaultdict(list)
        for pair in alike:
            for rule in (one for one in tried[pair] if one in harmless):
                pairs[rule].append(pair)
        if not pairs:
            break
        most = max(map(len, pairs.values()))
        best = [rule for rule in pairs if len(pairs[rule]) == most]
        pattern, by = max(best, key=lambda rule: (*_likeness(*pairs[rule][0], places), -len(rule[0])))
        rules[pattern] = by
        found = {name for pair in pairs[pattern, by] for name in pair}
        alike = [pair for pair in alike if not found & {*pair}]
    try:
        origin = dict(zip(rename(state, rules), state, strict=True))
    except UserError:  # two names would become one
        return None
    meant = {n: origin[n] for n in missing if n in origin and state[origin[n]].shape == shapes[n]}
    return Renaming(tuple(meant.values()), rules) if meant and meant.keys() >= {*needed} else None


def _likeness(old: str, new: str, places: Mapping[str, float]) -> tuple[float, float]:
    """Of two names, and of where they stand in their networks."""
    return round(difflib.SequenceMatcher(None, old, new).ratio(), 1), -abs(places[old] - places[new])


def _alike(
    new: str, surplus: Sequence[str], state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]
) -> list[tuple[str, str]]:
    """The names of the same shape, of these those that end alike, where some do."""
    pairs = [(old, new) for old in surplus if state[old].shape == shapes[new]]
    return [pair for pair in pairs if pair[0].split(".")[-1] == new.split(".")[-1]] or pairs


def _rules(old: str, new: str, others: str) -> Iterator[tuple[str, str]]:
    """Pattern and replacement, of what stands before the common end or of all: here, and wherever numbers differ."""
    for end in {0, _shared(old.split(".")[::-1], new.split(".")[::-1])}:
        was, now = old.split("."), new.split(".")
        was, now, stop = was[: len(was) - end], now[: len(now) - end], r"\." if end else "$"
        but = rf"(?!({others})\.)" if others and not was else ""
        yield f"^{but}{re.escape('.'.join(was))}{stop if was else ''}", ".".join([*now, ""] if end else now)
        start = _shared(was, now)
        place = re.sub(r"\d+", r"\\d+", re.escape(".".join(was[:start])))
        if r"\d+" in place:
            pattern = "".join(rf"\.{re.escape(part)}" for part in was[start:])
            yield f"^({place}){pattern}{stop}", "".join([r"\1", *(f".{part}" for part in now[start:]), "." * (end > 0)])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
