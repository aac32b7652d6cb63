"""The words of the command line on their way to Hydra, and Hydra's answers on their way to the user."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from convergence.system.errors import UserError


def call(words: list[str], task: Callable[[Any], None]) -> None:
    """Compose the config from the words and call the task; what Hydra refuses becomes one sentence."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from convergence.experiment.compose import conf_folder, register

    register()
    words = [word for word in words if word != "model@against=null"]  # the default, which Hydra knows no word for
    words = populations(words)
    _refuse_additions(words)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, instead of Hydra's own lines
    flags, plain = _flags(_quote_patterns(words))
    sys.argv = ["convergence run", *flags, *plain]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        if "debug=true" in words:
            raise
        raise UserError(_one_sentence(error, words)) from None
    except RuntimeError as error:
        if "debug=true" in words:
            raise
        raise _of_launcher(error) from None
    except SystemExit as end:
        if end.code not in (0, None):
            raise UserError("the flags were not understood (see above): `convergence run --help` lists them.") from None


def _of_launcher(error: RuntimeError) -> Exception:
    """What a launcher raises, as a sentence; any other error as it is."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if '"srun"' in reason:
        return UserError("there is no SLURM on this machine (srun): give the command on a login node of the cluster.")
    if type(error).__module__.startswith(("submitit.", "joblib.")):
        return UserError(f"the sweep's jobs did not all run ({reason}): the same command computes what is missing.")
    return error


_FILES = (".yaml", ".yml", ".txt")


def populations(words: list[str]) -> list[str]:
    """``model=[…]`` and ``model=FILE`` name a population: the words that Hydra knows it by."""
    found = []
    for word in words:
        option, _, value = word.partition("=")
        if option in ("model", "model@against") and (value.startswith("[") or value.endswith(_FILES)):
            place = option.removeprefix("model@")
            found += [f"{option}=population", f"{place}.members={value if value.startswith('[') else repr(value)}"]
            if not value.startswith("["):
                found.append(f"{place}.name={re.sub(r'[^A-Za-z0-9_-]', '_', Path(value).stem)}")
        else:
            found.append(word)
    return found


def choices(words: list[str]) -> list[list[str]]:
    """The words of each job of a multirun: one of each option's values (a,b,c), in Hydra's order."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    words = populations(words)
    flags, plain = _flags(_quote_patterns(words))
    try:
        (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(plain), None)
    except HydraException as error:
        raise UserError(_one_sentence(error, words)) from None
    return [[*flags, *job] for job in jobs]


# One element of a value that is not quoted yet, and has a placeholder of checkpoint files.
_PATTERN = re.compile(r"(?:^|(?<=[\[,]))([^\[\],'\"]*\{(?:seed|epoch|step)(?:=\d+)?\}[^\[\],'\"]*)")


def _quote_patterns(words: list[str]) -> list[str]:
    """Hydra reads a brace as the beginning of a dictionary: quote the patterns of checkpoint files."""
    pairs = [word.partition("checkpoints=") for word in words]
    return [before + option + (_PATTERN.sub(r"'\1'", value) if option else value) for before, option, value in pairs]


_TAKE_A_VALUE = {"--cfg", "-c", "--config-dir", "-cd", "--config-name", "-cn", "--package", "-p", "--info", "-i"}


def _flags(words: list[str]) -> tuple[list[str], list[str]]:
    """Flags, with their values, and overrides: Hydra's parser refuses overrides on both sides of a flag."""
    flags: list[str] = []
    overrides: list[str] = []
    takes = False
    for word in words:
        (flags if takes or word.startswith("-") else overrides).append(word)
        takes = word in _TAKE_A_VALUE
    return flags, overrides


def _one_sentence(error: BaseException, words: list[str]) -> str:
    """The cause, without Hydra's advice on its own environment variables."""
    causes: list[list[str]] = []
    while error is not None and len(causes) < 5:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        causes.append(lines)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    first = causes[0] or ["the options were not understood"]
    inner = causes[-1] or first
    message = first[0]
    if re.search(r"hydra/launcher/(joblib|submitit)|hydra_plugins\.hydra_(joblib|submitit)", " ".join(first + inner)):
        return "that launcher is an extra: install it with `pip install convergence[cluster]`."
    listed = [lines[i + 1 :] for lines in causes for i, line in enumerate(lines) if "Available options" in line]
    if listed:
        names = [line for line in listed[0] if " " not in line]
        what = message.removeprefix("In 'config': ").rstrip(".")
        return f"{what}: the choices are {', '.join(names)}."
    if "more than once in the final defaults list" in message:
        return "a group takes one choice: of several metrics, give a list such as metric.names=[linear,procrustes]."
    if message.startswith("Error merging override"):
        reason = causes[1][0] if len(causes) > 1 and causes[1] else "that is no value of it"
        for jargon, plain in _PLAIN.items():
            reason = re.sub(jargon, plain, reason)
        return f"{message.removeprefix('Error merging override ')}: {reason.rstrip('.')}."
    key = next((line.split("full_key:")[1].strip() for line in inner + first if "full_key:" in line), "")
    if "not in" in inner[0] or "Could not override" in message:
        typed = message.split("'")[1] if "'" in message else key
        near = difflib.get_close_matches(typed, _keys(), n=2, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else " `convergence run --help` lists the options."
        having = _choices_with(typed)
        hint = f" It is one of {' and of '.join(having)}." if having else hint
        return f"there is no option '{typed}'.{hint}"
    if key and key not in inner[0]:
        return f"{key}: {inner[0]}"
    return inner[0]


_PLAIN = {
    r"Invalid value assigned: \w+ is not a ListConfig, list or tuple\.?": "give a list such as [a,b]",
    r"Invalid type assigned: \w+ is not a subclass of .*": "it is a group of options; set one of these",
}


def _choices_with(option: str) -> list[str]:
    """The choices of the option's group that have it, such as ``axis=training`` for ``axis.checkpoints``."""
    from convergence.experiment.compose import compose, conf_folder

    group, _, name = option.partition(".")
    found = []
    for path in sorted((conf_folder() / group).glob("*.yaml")) if name else []:
        made: Any = getattr(compose([f"{group}={path.stem}"]), group)
        for part in name.split("."):
            made = getattr(made, part, _NOTHING)
        if made is not _NOTHING:
            found.append(f"{group}={path.stem}")
    return found


_NOTHING = object()


def _keys() -> list[str]:
    """Every option's full name, with the default choices."""
    from omegaconf import DictConfig, OmegaConf

    from convergence.experiment.compose import compose

    found: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        for name in node:
            found.append(f"{prefix}{name}")
            if isinstance(node, DictConfig) and isinstance(node._get_node(name), DictConfig) and node[name]:
                walk(node[name], f"{prefix}{name}.")

    walk(OmegaConf.structured(compose()), "")
    return found


def _refuse_additions(words: list[str]) -> None:
    """Hydra takes ``+new=1`` in silence, even where a schema knows no such option, and stumbles over these others."""
    if any(word.startswith("against.") for word in words) and not any("model@against=" in word for word in words):
        raise UserError("against.… sets up a second model, and there is none: name it with model@against=….")
    for word in words:
        if word.startswith("~"):
            raise UserError(f"{word}: an option cannot be taken away; give it another value, or null.")
        name = word.lstrip("+").split("=")[0].split("@")[0]
        if word.startswith("+") and not name.startswith("hydra"):
            from convergence.experiment.compose import conf_folder

            folders = [conf_folder(), *_config_dirs(words)]
            if not any((folder / name).is_dir() for folder in folders) and name not in _keys():
                near = difflib.get_close_matches(name, _keys(), n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else "`convergence run --help` lists the options."
                raise UserError(f"there is no option '{name}' to add ({word}); {hint}")


def _config_dirs(words: list[str]) -> list[Path]:
    flags = ("--config-dir", "-cd")
    named = [w.split("=", 1)[1] for w in words if w.startswith("--config-dir=")]
    return [Path(p) for p in named + [b for a, b in pairwise(words) if a in flags]]
