"""Seeds: any whole number of 64 bits, negative ones too, for generators that take fewer."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import Any

LEAST, MOST = -(2**63), 2**63 - 1  # what a seed may be: what tables of results can hold
_WORD = 2**32


def seed(default: int) -> Any:
    """An option that is a seed, which :func:`convergence.system.options.check` looks at."""
    return field(default=default, metadata=BOUNDS)


BOUNDS: dict[str, Any] = {"least": LEAST, "above": None, "most": MOST}


def for_torch(number: int) -> int:
    """What ``torch.Generator.manual_seed`` takes: the number itself, or a hash of one of more than 62 bits.

    Not its last bits: a torch generator on a CPU looks at no more than 32 of them, so that many would give the same.
    """
    if abs(number) < 2**62:
        return number
    return int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:7])


def for_random_state(number: int) -> int | list[int]:
    """What ``numpy.random.RandomState`` takes: the number itself, or the words of its last 64 bits."""
    return number if 0 <= number < _WORD else [number % _WORD, number % 2**64 // _WORD]


def for_sequence(number: int) -> int:
    """What ``numpy.random.SeedSequence`` takes: the number itself, or the last 64 bits of a negative one."""
    return number if number >= 0 else number % 2**64
