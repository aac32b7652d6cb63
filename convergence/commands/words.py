"""The words of the command line on their way to Hydra."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from convergence.commands import options, refusals
from convergence.commands.values import as_typed, parsed, quoted
from convergence.system.errors import UserError
from convergence.system.process import arguments_of_hydra, loading

MULTIRUN = ("-m", "--multirun")
_FREE = re.compile(r"^(model|against|dataset)\.arguments(\.|$)")
_MAY_SWEEP = re.compile(r"\+*(experiment[@=]|hydra\.mode=|hydra=)")
_FILES = (".yaml", ".yml", ".txt")
_TAKE_A_VALUE = {"--cfg", "-c", "--config-dir", "-cd", "--config-name", "-cn", "--package", "-p", "--info", "-i"}


def call(words: Sequence[str], task: Callable[[Any], None]) -> None:
    """Compose the config from the words and call the task; what Hydra refuses becomes one sentence."""
    with loading():
        import hydra
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        from convergence.experiment.compose import conf_folder, register

        register()
    flags, overrides = for_hydra(words)
    try:
        arguments = arguments_of_hydra(["convergence run", *flags, *overrides])
        with arguments, _composed_once(bool(flags) or any("hydra" in w or "experiment" in w for w in overrides)):
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        if debugging(words):
            raise
        raise UserError(refusals.of_config(error)) from None
    except RuntimeError as error:
        if debugging(words):
            raise
        raise refusals.of_launcher(error) from None
    except SystemExit as end:
        if end.code not in (0, None):
            raise UserError("the flags were not understood (see above): `convergence run --help` lists them.") from None


def typed(cfg: Any) -> Any:
    """The dataclasses of a composed config.

    Raises
    ------
    UserError
        If an option has no value, or one that refers to what is not there.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise UserError(refusals.of_config(error)) from error


def choices(words: Sequence[str]) -> list[list[str]]:
    """The words of each job of a multirun: one of each option's values (a,b,c), in Hydra's order."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    flags, overrides = for_hydra([*words, "-m"])
    (jobs,) = BasicSweeper.split_arguments([parsed(word) for word in overrides], None)
    return [[*(flag for flag in flags if flag not in MULTIRUN), *job] for job in jobs]


def for_hydra(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags, and the overrides in Hydra's grammar; values that it does not know are the text that they are.

    Raises
    ------
    UserError
        If a word cannot be read, or adds or removes an option.
    """
    flags, overrides = split(words)
    _refuse_dashes(flags)
    # Without a sweep no comma separates values; an experiment may make a sweep of its command.
    sweeps = any(w in MULTIRUN for w in flags) or any(_MAY_SWEEP.match(w) for w in overrides)
    overrides = [word for word in overrides if word != "model@against=null"]  # the default, no choice of the group
    overrides = populations(overrides)
    _refuse_additions(overrides, _config_dirs(flags))
    return flags, [_readable(word, sweeps) for word in overrides]


@contextmanager
def _composed_once(may_sweep: bool) -> Iterator[None]:
    """Where nothing can ask for a sweep, Hydra doesn't compose the whole config a first time to see whether it does."""
    from hydra._internal.hydra import Hydra

    look = Hydra.get_mode
    if not may_sweep:
        Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]  # as where the config leaves it open
    try:
        yield
    finally:
        Hydra.get_mode = look  # type: ignore[method-assign]


def _readable(word: str, sweeps: bool) -> str:
    option, equal, value = word.partition("=")
    if equal and not option.strip("+"):
        raise UserError(f"{word}: there is no option before the equals sign; write OPTION=VALUE.")
    if value.startswith("{") and options.is_group(option, []):
        raise UserError(f"{word}: {option} takes the name of a choice; set its options one by one, as {option}.name=….")
    literal = option.lstrip("+") in options.texts()
    written = option + equal + as_typed(value, literal=literal, swept=sweeps or not literal)
    if parsed(written) is None:
        raise UserError(refusals.of_word(word))
    # A mapping takes any name, which Hydra has to be told word by word.
    free = _FREE.search(option) is not None and not option.startswith("+")
    return f"++{written}" if free else written


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags, with their values, and overrides: Hydra's parser refuses overrides on both sides of a flag."""
    flags: list[str] = []
    overrides: list[str] = []
    takes = False
    for word in words:
        (flags if takes or word.startswith("-") else overrides).append(word)
        takes = word in _TAKE_A_VALUE
    return flags, overrides


def debugging(words: Sequence[str]) -> bool:
    """Whether the command asks for tracebacks."""
    return any(word.lstrip("+").lower() == "debug=true" for word in words)


def populations(words: Sequence[str]) -> list[str]:
    """``model=[…]`` and ``model=FILE`` name a population: the words that Hydra knows it by."""
    found = []
    for word in words:
        option, _, value = word.partition("=")
        file = value.strip("'\"")
        if option in ("model", "model@against") and (value.startswith("[") or file.endswith(_FILES)):
            place = option.removeprefix("model@")
            listed = value.startswith("[")
            found += [f"{option}=population", f"{place}.members={value if listed else quoted(file)}"]
            if not listed:
                found.append(f"{place}.name={re.sub(r'[^A-Za-z0-9_-]', '_', Path(file).stem)}")
        else:
            found.append(word)
    return found


def _refuse_additions(words: Sequence[str], folders: list[Path]) -> None:
    """Hydra takes ``+new=1`` in silence, even where a schema knows no such option, and stumbles over these others."""
    if any(word.startswith("against.") for word in words) and not any("model@against=" in word for word in words):
        raise UserError("against.… sets up a second model, and there is none: name it with model@against=….")
    for word in words:
        if word.startswith("~"):
            raise UserError(f"{word}: an option cannot be taken away; give it another value, or null.")
        name = word.lstrip("+").split("=")[0].split("@")[0]
        added = word.startswith("+") and not name.startswith("hydra") and not _FREE.search(name)
        if added and not options.is_group(name, folders) and name not in options.names():
            near = difflib.get_close_matches(name, options.names(), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "`convergence run --help` lists the options."
            raise UserError(f"there is no option '{name}' to add ({word}); {hint}")


def _refuse_dashes(flags: Sequence[str]) -> None:
    """Options are no flags; what Hydra does not know, it answers with its usage."""
    if not flags or set(flags) <= set(MULTIRUN):
        return
    from hydra._internal.utils import get_args_parser

    known = get_args_parser()._option_string_actions
    for flag in (flag for flag in flags if flag.startswith("-")):
        name, equal, _ = flag.partition("=")
        if any(one.startswith(name) for one in known):
            continue
        option = name.lstrip("-")
        if option.partition(".")[0].partition("@")[0] in {one.partition(".")[0] for one in options.names()}:
            word = flag.lstrip("-")
            raise UserError(f"{flag}: write {word if equal else f'{word}=VALUE'}, without dashes.")
        raise UserError(f"there is no flag {name}: `convergence run --help` lists them, and options have no dashes.")


def _config_dirs(flags: Sequence[str]) -> list[Path]:
    named = [word.split("=", 1)[1] for word in flags if word.startswith("--config-dir=")]
    return [Path(p) for p in named + [b for a, b in pairwise(flags) if a in ("--config-dir", "-cd")]]
