"""What Hydra, OmegaConf and launchers refuse, as one sentence: what, where, what to do."""

from __future__ import annotations

import difflib
import re

from convergence.commands.options import choices_with, names
from convergence.system.errors import UserError, nearest

_PLAIN = {
    r"Invalid value assigned: \w+ is not a ListConfig, list or tuple\.?": "give a list such as [a,b]",
    r"Invalid type assigned: \w+ is not a subclass of .*": "it is a group of options; set one of these",
}
_FEW = 5  # choices that are listed
_UNKNOWN = "the options were not understood: `convergence run --help` lists them, with their values"


def of_config(error: BaseException) -> str:
    """The cause, without Hydra's advice on its own environment variables."""
    causes = _causes(error)
    if not causes:
        return f"{_UNKNOWN}."
    first, inner = causes[0], causes[-1]
    message = first[0]
    if re.search(r"hydra/launcher/(joblib|submitit)|hydra_plugins\.hydra_(joblib|submitit)", " ".join(first + inner)):
        return (
            'that launcher is an extra: install it with `pip install "convergent-learning[cluster]"`, or from a '
            'checkout with `pip install -e ".[cluster]"`.'
        )
    listed = [lines[i + 1 :] for lines in causes for i, line in enumerate(lines) if "Available options" in line]
    if listed:
        return _no_such_choice(message, [line for line in listed[0] if " " not in line])
    if "more than once in the final defaults list" in message:
        from convergence.alignment.metrics.catalogue import METRICS  # it loads torch

        several = f"metric.names=[{','.join(METRICS[:2])}]"
        return f"a group takes one choice: of several metrics, give a list such as {several}."
    swept = re.match(r"Ambiguous value for argument '([^=]*)=(.*)'", message)
    if swept:
        option, value = swept[1], swept[2]
        return (
            f"{option}={value} is several values: sweep over them with --multirun, or give one; a list is "
            f"written {option}=[{value}], a comma in a text \"{option}='{value}'\"."
        )
    if message.startswith("Error merging override"):
        reason = causes[1][0] if len(causes) > 1 else "that is no value of it"
        for jargon, plain in _PLAIN.items():
            reason = re.sub(jargon, plain, reason)
        return f"{message.removeprefix('Error merging override ')}: {reason.rstrip('.')}."
    key = next((line.split("full_key:")[1].strip() for line in inner + first if "full_key:" in line), "")
    if "not in" in inner[0] or "Could not override" in message:
        return no_such_option(message.split("'")[1] if "'" in message else key, "PopulationConfig" in inner[0])
    if "missing mandatory value" in message:
        return f"{key} has no value: write {key}=VALUE."
    if "nterpolation" in message:
        what = message.rpartition("interpolation: ")[2].strip('"').rstrip(".")
        return f"{key or 'an option'} refers to what is not there: {what}."
    if key and key not in inner[0]:
        return f"{key}: {inner[0]}"
    return inner[0]


def _no_such_choice(message: str, choices: list[str]) -> str:
    """There is none of that name; the nearest, and all."""
    asked = re.search(r"Could not find '([^']+)/([^'/]*)'", message)
    if asked is None:
        return f"{message.rstrip('.')}: the choices are {', '.join(choices)}."
    return f"{asked[1]}={asked[2]}: there is no such choice; {nearest(asked[2], choices)}"


def _causes(error: BaseException | None) -> list[list[str]]:
    """The lines of the error and of its causes; those that name nothing but a class or None say nothing."""
    causes: list[list[str]] = []
    while error is not None and len(causes) < 5:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if lines and not re.fullmatch(r"None|\w+(Exception|Error)(\(.*\))?", lines[0]):
            causes.append(lines)
        error = error.__cause__ or error.__context__
    return causes


def no_such_option(option: str, of_population: bool = False) -> str:
    """There is none of that name; the nearest, or the choices of its group that have it."""
    group, _, name = option.partition(".")
    having = choices_with(f"model.{name}" if group == "against" else option)
    having = [choice.replace("model=", "model@against=") for choice in having] if group == "against" else having
    if having and of_population:
        member = f"{having[0].replace('=', ': ')}, " + name.replace(".", ": {") + ": …" + "}" * name.count(".")
        return f"a population has no option '{option}': give it to each network of the list, as in {{{member}}}."
    if having:
        few = having if len(having) <= _FEW else [*having[: _FEW - 1], f"{len(having) - _FEW + 1} other choices"]
        listed = ", ".join(few[:-1]) + " and " + few[-1] if len(few) > 1 else few[0]
        return f"there is no option '{option}'. It is one of {listed}."
    near = difflib.get_close_matches(option, names(), n=2, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "`convergence run --help` lists the options."
    return f"there is no option '{option}'. {hint}"


def of_word(word: str) -> str:
    """A word that is not Hydra's grammar even with its values quoted: which part of it, and how it is written."""
    option, equal, value = word.partition("=")
    if not equal:
        return f"{word} has no value: write {word}=VALUE."
    if "key_map" in option:
        way = f'give a list such as \'{option}=["^old=>new","^drop=>!"]\''
    elif value.lstrip().startswith("{"):
        way = "write {name: value, name: value}, with names of letters, digits and _-./ alone"
    elif re.search(r"[^A-Za-z0-9_.@/+~$-]", option):
        return f"{word}: '{option}' is no name of an option; `convergence run --help` lists them."
    else:
        way = 'write a list as [a,b], and put what is one text into quotes: "' + f"{option}='TEXT'" + '"'
    return f"{word}: the value {value} is not understood; {way}."


def of_launcher(error: RuntimeError) -> Exception:
    """What a launcher raises, as a sentence; any other error as it is."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if '"srun"' in reason:
        return UserError("there is no SLURM on this machine (srun): give the command on a login node of the cluster.")
    if type(error).__module__.startswith(("submitit.", "joblib.")):
        return UserError(f"the sweep's jobs did not all run ({reason}): the same command computes what is missing.")
    return error
