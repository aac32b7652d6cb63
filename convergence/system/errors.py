"""What a user can cause, said in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class UserError(ValueError):
    """Bad input: the message is one clear sentence (what, where, what to do).

    The command line prints it and exits with status 1, without a traceback unless ``debug=true``.
    """


def nearest(asked: str, known: Sequence[str]) -> str:
    """What may have been meant, and all that there is: the end of a sentence about a name that is not there."""
    near = difflib.get_close_matches(asked, known, n=1, cutoff=0.6)
    every = ", ".join(known)
    return f"did you mean {near[0]}? All of them: {every}." if near else f"the choices are {every}."
