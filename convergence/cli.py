"""The commands; each is thin over one function. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from typing import Any

from convergence.errors import UserError

_USAGE = """\
When do independently trained networks come to represent the world alike?

usage: convergence COMMAND …          (or: python -m convergence COMMAND …)

  run [overrides]        one experiment, or a sweep with --multirun
                           run model=tiny_vgg metric=procrustes
                           run dataset=image_folder dataset.root=PATH
  train [overrides]      the seeds of a recipe (run does this by itself)
  figure FOLDER …        draw again from the results of runs
  list models|layers|datasets|metrics [pattern]
                         what there is to choose from

  run --help             all options        run --cfg job   what would run
"""
_METRICS = {
    "linear": "any linear map: ridge regression",
    "procrustes": "rotations and reflections: orthogonal Procrustes",
    "permutation": "one unit to one unit, at equal widths",
    "soft_matching": "optimal transport between units",
}
_DATASETS = {
    "shapes": "16 classes of drawn outlines; nothing to download (the default)",
    "digits": "scikit-learn's 1,797 digits",
    "fashion_mnist": "clothes, 28 × 28; Debian's package, torchvision's files, or a download",
    "cifar10": "photographs, 32 × 32, 10 classes",
    "cifar100": "photographs, 32 × 32, 100 classes",
    "imagenet": "ILSVRC2012: dataset.root=FOLDER above val/<wnid>/",
    "image_folder": "any folder of class folders: dataset.root=FOLDER",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what a user can cause, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[list[str]], int]] = {"run": _run, "train": _train, "figure": _figure, "list": _list}
    name = next((w for w in words if w in commands), None)
    # Flags of Hydra may stand before the command; anything else there is a typo of it.
    before = words[: words.index(name)] if name else words
    _log_plainly()
    try:
        if name is None and (not words or words[0] in ("-h", "--help", "help")):
            print(_USAGE, end="")
            return 0
        wrong = next((w for w in before if not w.startswith("-")), None)
        if wrong is not None or name is None:
            near = difflib.get_close_matches(wrong or "", commands, n=1, cutoff=0.0)
            raise UserError(f"'{wrong or words[0]}' is no command; did you mean '{near[0]}'? See convergence --help.")
        words.remove(name)
        return commands[name](words)
    except UserError as error:
        if "debug=true" in words:
            raise
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("stopped; what is done is kept, the same command goes on from there.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(sentence: str) -> None:
    print(f"convergence: {' '.join(sentence.split())}", file=sys.stderr)


def _log_plainly() -> None:
    """Messages as plain sentences on stderr."""
    log = logging.getLogger("convergence")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


# ---------------------------------------------------------------- run, train


def _run(words: list[str]) -> int:
    failed: list[tuple[str, UserError]] = []

    def task(cfg: Any) -> None:
        from convergence import experiment

        _switch(cfg)
        try:
            table = experiment.run(cfg)
            _show(cfg, table)
        except UserError as error:
            # One job's failure must not end a sweep, nor be told in Hydra's words.
            from hydra.core.hydra_config import HydraConfig

            job = ",".join(HydraConfig.get().overrides.task)
            if cfg.debug:
                raise
            if _in_sweep():
                _say(f"[{job}] {error}")
            failed.append((job, error))

    _with_hydra(words, task)
    if failed and len(failed[0]) and not any(w in ("-m", "--multirun") for w in words):
        raise failed[0][1]
    if failed:
        _say(f"{len(failed)} of the sweep's jobs failed: {'; '.join(job for job, _ in failed)}.")
    return 1 if failed else 0


def _train(words: list[str]) -> int:
    def task(cfg: Any) -> None:
        from omegaconf import OmegaConf

        from convergence import models
        from convergence.alignment import resolve_device
        from convergence.config import RecipeConfig

        _switch(cfg)
        made: Any = OmegaConf.to_object(cfg)
        for side in filter(None, (made.model, made.against)):
            if not isinstance(side, RecipeConfig):
                raise UserError(
                    f"{side.name} is not a recipe: only tiny_resnet, tiny_vgg and tiny_vit are trained here."
                )
            place = Path(made.cache) / "networks"
            runs = models.trajectories(side, made.dataset, folder=place, device=resolve_device(made.device))
            for run in runs:
                print(f"{run[-1].model} {run[-1].weights}: {len(run)} checkpoints, {run[-1].step} steps")

    _with_hydra(words, task)
    return 0


def _switch(cfg: Any) -> None:
    from convergence import progress

    progress.enabled = cfg.progress


def _in_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.get().mode == RunMode.MULTIRUN


def _with_hydra(words: list[str], task: Callable[[Any], None]) -> None:
    """Compose the config from the words and call the task; what Hydra refuses becomes one sentence."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from convergence.registration import conf_folder, register

    register()
    _refuse_additions(words)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, instead of Hydra's own lines
    sys.argv = ["convergence run", *_flags_first(words)]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        if "debug=true" in words:
            raise
        raise UserError(_one_sentence(error, words)) from None
    except SystemExit as end:
        if end.code not in (0, None):
            raise UserError("the flags were not understood (see above): `convergence run --help` lists them.") from None


_TAKE_A_VALUE = {"--cfg", "-c", "--config-dir", "-cd", "--config-name", "-cn", "--package", "-p", "--info", "-i"}


def _flags_first(words: list[str]) -> list[str]:
    """Hydra's parser refuses overrides on both sides of a flag: put the flags before all of them."""
    flags: list[str] = []
    overrides: list[str] = []
    takes = False
    for word in words:
        (flags if takes or word.startswith("-") else overrides).append(word)
        takes = word in _TAKE_A_VALUE
    return flags + overrides


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
    listed = [lines[i + 1 :] for lines in causes for i, line in enumerate(lines) if "Available options" in line]
    if listed:
        names = [line for line in listed[0] if " " not in line]
        what = message.removeprefix("In 'config': ").rstrip(".")
        return f"{what}: the choices are {', '.join(names)}."
    if message.startswith("Error merging override"):
        reason = causes[1][0] if len(causes) > 1 and causes[1] else "that is no value of it"
        return f"{message.removeprefix('Error merging override ')}: {reason}."
    key = next((line.split("full_key:")[1].strip() for line in inner + first if "full_key:" in line), "")
    if "not in" in inner[0] or "Could not override" in message:
        typed = message.split("'")[1] if "'" in message else key
        near = difflib.get_close_matches(typed, _keys(), n=2, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else " `convergence run --help` lists the options."
        return f"there is no option '{typed}'.{hint}"
    if key and key not in inner[0]:
        return f"{key}: {inner[0]}"
    return inner[0]


def _keys() -> list[str]:
    """Every option's full name, with the default choices."""
    from omegaconf import DictConfig, OmegaConf

    from convergence.registration import compose

    found: list[str] = []

    def walk(node: Any, prefix: str) -> None:
        for name in node:
            found.append(f"{prefix}{name}")
            if isinstance(node, DictConfig) and isinstance(node._get_node(name), DictConfig) and node[name]:
                walk(node[name], f"{prefix}{name}.")

    walk(OmegaConf.structured(compose()), "")
    return found


def _refuse_additions(words: list[str]) -> None:
    """Hydra takes ``+new=1`` in silence, even where a schema knows no such option."""
    for word in words:
        name = word.lstrip("+").split("=")[0].split("@")[0]
        if word.startswith("+") and not name.startswith("hydra"):
            from convergence.registration import conf_folder

            folders = [conf_folder(), *_config_dirs(words)]
            if not any((folder / name).is_dir() for folder in folders) and name not in _keys():
                near = difflib.get_close_matches(name, _keys(), n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else "`convergence run --help` lists the options."
                raise UserError(f"there is no option '{name}' to add ({word}); {hint}")


def _config_dirs(words: list[str]) -> list[Path]:
    flags = ("--config-dir", "-cd")
    named = [w.split("=", 1)[1] for w in words if w.startswith("--config-dir=")]
    return [Path(p) for p in named + [b for a, b in pairwise(words) if a in flags]]


def _show(cfg: Any, table: Any) -> None:
    """Draw the figures, and print the summary and where everything lies."""
    from convergence import figures
    from convergence.experiment import run_folder
    from convergence.figures.summary import summary
    from convergence.results import RESULTS

    folder = run_folder(_typed(cfg))
    print(summary(table))
    print(f"results  {folder / RESULTS}")
    if cfg.figures:
        for path in figures.draw(table, folder):
            if path.suffix == ".png":
                print(f"figure   {path} (and .pdf)")


def _typed(cfg: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_object(cfg)


# ---------------------------------------------------------------- figure, list


def _figure(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: convergence figure FOLDER …\n\nDraws the figures of these runs (folders, globs) from parquet alone."
        )
        return 0 if words else 1
    from convergence import figures, results

    table = results.read(words)
    for axis, rows in table.groupby("axis"):
        place = _common(words) / (f"{axis}-figures" if table.run.nunique() > 1 else "")
        for path in figures.draw(rows, place):
            print(path)
    return 0


def _common(places: list[str]) -> Path:
    """The folder that the figures of one run, or of several, belong into."""
    from glob import glob

    found = [Path(p).resolve() for place in places for p in glob(place, recursive=True)]
    folders = [p if p.is_dir() else p.parent for p in found]
    if len(folders) == 1:
        inner = [p.parent for p in folders[0].rglob("results.parquet")]
        return inner[0] if len(inner) == 1 else folders[0]
    return Path(os.path.commonpath(folders))


def _list(words: list[str]) -> int:
    kinds = ("models", "layers", "datasets", "metrics")
    if not words or words[0] in ("-h", "--help"):
        print(
            "usage: convergence list models|datasets|metrics [pattern]\n       convergence list layers MODEL [pattern]"
        )
        return 0 if words else 1
    kind, rest = words[0], words[1:]
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=1, cutoff=0.0)[0]
        raise UserError(f"list {kind} is not known; did you mean list {near}?")
    if kind == "layers":
        return _list_layers(rest)
    rows = {"models": _models, "metrics": lambda: _METRICS, "datasets": lambda: _DATASETS}[kind]()
    pattern = rest[0] if rest else "*"
    shown = {n: text for n, text in rows.items() if fnmatch(n, pattern) or pattern in n}
    if not shown:
        near = ", ".join(difflib.get_close_matches(pattern, rows, n=3, cutoff=0.0))
        raise UserError(f"no {kind} match '{pattern}': the nearest are {near}.")
    for name, text in shown.items():
        print(f"{name:<32} {text}")
    return 0


def _models() -> dict[str, str]:
    from convergence.config import Library
    from convergence.models import library, recipes

    rows = {name: f"recipe, trained here: model={name}" for name in recipes.RECIPES}
    for kind in Library:
        for name in library.names(kind):
            text = f"model={kind.value} model.name={name}"
            rows[name] = f"{rows[name]}, or {text}" if name in rows else text
    return rows


def _list_layers(words: list[str]) -> int:
    import torch

    from convergence.config import Library, LibraryConfig
    from convergence.models import library, recipes
    from convergence.models.layers import choose

    if not words:
        raise UserError("list layers needs a model's name, such as `list layers resnet18`.")
    name, patterns = words[0], words[1:] or None
    if name in recipes.RECIPES:
        layers = choose(recipes.build(name, 16, 0).eval(), torch.zeros(1, 3, 32, 32), patterns, name)
    else:
        kind = Library.torchvision if name in library.names(Library.torchvision) else Library.timm
        network = library.untrained(LibraryConfig(name=name, library=kind, layers=patterns))[0]
        layers = dict(network.layers)
    for label, layer in layers.items():
        print(f"{label:<48} {layer.kind:<12} {' × '.join(map(str, layer.shape))}")
    return 0
