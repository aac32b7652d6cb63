"""What a user can cause, said in one sentence."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input: the message is one clear sentence (what, where, what to do).

    The command line prints it and exits with status 1, without a traceback unless ``debug=true``.
    """
