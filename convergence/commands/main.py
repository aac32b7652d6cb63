"""``convergence COMMAND``: finds the command, and turns what it raises into an exit status.

A command is a module here: ``add`` declares its words to argparse, and names the function that is called with them.
Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from convergence import __version__
from convergence.commands import cache, figure, listing, report, run, status, train
from convergence.commands.output import log_plainly, say
from convergence.commands.words import debugging, split
from convergence.system import user_code
from convergence.system.errors import UserError
from convergence.system.memory import keep_memory

_COMMANDS = (run, train, figure, report, listing, status, cache)
_EXAMPLES = """\
examples:
  convergence run model=tiny_vgg metric=procrustes
  convergence run dataset=image_folder dataset.root=PATH
  convergence run --multirun hydra/launcher=slurm model=zoo.yaml
  convergence run --dry-run …     which comparisons, in how many jobs
  convergence run --help          all options and their values
  convergence run --cfg job …     what would run
  convergence --version           of the program

`python -m convergence COMMAND …` is the same. convergence COMMAND --help tells more.
"""


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence."""

    def error(self, message: str) -> NoReturn:
        needed = message.removeprefix("the following arguments are required: ")
        unknown = message.removeprefix("unrecognized arguments: ")
        if needed != message:
            message = f"{self.prog} needs {needed.split(', ')[0]}"
        elif unknown != message:
            message = f"{self.prog} has no option {unknown.split()[0]}"
        raise UserError(f"{message}; see {self.prog} --help.")


def parser() -> argparse.ArgumentParser:
    """All commands, with their helps."""
    whole = _Parser(
        "convergence",
        description="When do independently trained networks come to represent the world alike?",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="convergence COMMAND …",
    )
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", dest="command", prog="convergence")
    for module in _COMMANDS:
        module.add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what a user can cause, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    keep_memory()
    log_plainly()
    try:
        options = _understood(words)
        with user_code.typed_here():
            return options.call(options)
    except SystemExit as end:  # of argparse, after --help
        return int(end.code or 0)
    except UserError as error:
        if debugging(words):
            raise
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped; what is done is kept, the same command goes on from there.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _understood(words: Sequence[str]) -> Any:
    """The command's options. Flags of Hydra may stand before the command."""
    whole = parser()
    flags, named = split(words)
    if (not named and (not words or set(words) & {"-h", "--help"})) or named[:1] == ["help"]:
        whole.print_help()
        raise SystemExit(0)
    if words == ["--version"]:
        print(f"convergence {__version__}")
        raise SystemExit(0)
    known = next(action for action in whole._actions if isinstance(action, argparse._SubParsersAction)).choices
    if not named:
        raise UserError(f"{' '.join(flags)} needs a command: {', '.join(known)}. See convergence --help.")
    if named[0] not in known:
        wrong = named[0]
        near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.0)[0]
        raise UserError(f"'{wrong}' is no command; did you mean '{near}'? See convergence --help.")
    at = words.index(named[0])
    return known[named[0]].parse_intermixed_args([*words[:at], *words[at + 1 :]])
