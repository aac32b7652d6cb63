"""What an option may be: numbers within bounds, and paths; how a config is checked."""

from __future__ import annotations

from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Any

from convergence.system.errors import UserError


def number(default: Any, *, least: float | None = None, above: float | None = None, most: float | None = None) -> Any:
    """A number within bounds, which :func:`check` looks at."""
    return field(default=default, metadata={"least": least, "above": above, "most": most})


def path(default: Any = None) -> Any:
    """A path, or a list of paths; on the command line taken as typed, and ``~`` means the user's folder."""
    return field(default=default, metadata={"path": True})


class Paths:
    """Of options that hold paths: expands a leading ``~`` when they are made, wherever that is."""

    def __post_init__(self) -> None:
        for option in fields(self):  # type: ignore[arg-type]
            if option.metadata.get("path"):
                setattr(self, option.name, _expanded(getattr(self, option.name)))


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(one) for one in value]
    try:
        return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~") else value
    except RuntimeError:
        raise UserError(f"{value}: there is no user of that name here; write the whole path.") from None


def check(options: Any, prefix: str = "") -> None:
    """Refuse numbers out of their bounds and empty lists, by the option's full name, before any work begins.

    Raises
    ------
    UserError
        Saying what the option may be.
    """
    for f in fields(options):
        value, name = getattr(options, f.name), f"{prefix}{f.name}"
        if is_dataclass(value):
            check(value, f"{name}.")
        if value == [] and "may_be_empty" not in f.metadata:
            raise UserError(f"{name}=[] names nothing: give one or more, or leave it out.")
        if value is None or "least" not in f.metadata or value == f.default:
            continue
        least, above, most = (f.metadata[bound] for bound in ("least", "above", "most"))
        allowed = [
            *([f"at least {least:g}"] if least is not None else []),
            *([f"more than {above:g}"] if above is not None else []),
            *([f"at most {most:g}"] if most is not None else []),
        ]
        if isinstance(f.default, str) and (not isinstance(value, int) or isinstance(value, bool)):
            raise UserError(
                f"{name}={value} is not known: give {f.default}, or a number that is {' and '.join(allowed)}."
            )
        for one in value if isinstance(value, list) else [value]:
            low = (least is not None and one < least) or (above is not None and one <= above)
            if not (low or (most is not None and one > most) or one != one):
                continue
            raise UserError(f"{name}={value} is out of bounds: give a number that is {' and '.join(allowed)}.")
