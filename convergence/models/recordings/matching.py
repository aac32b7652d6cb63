"""Which recorded stimulus is which image: by id, with or without ending and folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from PIL import Image


@cache
def _endings() -> frozenset[str]:
    return frozenset(Image.registered_extensions())


def _without_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in _endings() else name


def _name(image_id: str) -> str:
    return image_id.replace("\\", "/").rsplit("/", 1)[-1]


# From strict to lenient: as they are, without the ending, without the folder, without both, and numbers by their value.
_FORMS: tuple[Callable[[str], str], ...] = (
    lambda i: i.replace("\\", "/"),
    lambda i: _without_ending(i.replace("\\", "/")),
    _name,
    lambda i: _without_ending(_name(i)),
    lambda i: _without_ending(_name(i)).lstrip("0") or "0",
)


def matched(wanted: Sequence[str], ids: Sequence[str]) -> dict[int, int]:
    """Places in ``wanted`` → places in ``ids`` of the same stimulus, in the order of ``wanted``.

    Of the ways to compare the ids the strictest is taken that matches most of them. What two of either side go by is
    not matched.
    """
    best: dict[int, int] = {}
    for form in _FORMS:
        here, there = _unique(wanted, form), _unique(ids, form)
        found = {i: there[key] for key, i in here.items() if key in there}
        if len(found) > len(best):
            best = found
    return best


def _unique(ids: Sequence[str], form: Callable[[str], str]) -> dict[str, int]:
    keys = [form(one) for one in ids]
    counts = Counter(keys)
    return {key: i for i, key in enumerate(keys) if counts[key] == 1}
