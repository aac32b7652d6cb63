"""Whether what a run was made from still lies there as it did: asked before a finished run is called done.

Sizes and times of files are looked at, not their content: if any of them has changed, the run is planned again, and
only then is it known whether its images and networks are others.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from convergence.axes.recorded import without_images
from convergence.axes.splits import split_of
from convergence.experiment.config import Config
from convergence.experiment.folder import plain, run_folder
from convergence.experiment.identity import PROGRAM, specs
from convergence.experiment.status import MANIFEST
from convergence.models import patterns
from convergence.models.options import ArchitectureConfig, ArraysConfig, ModelConfig, is_trained_here
from convergence.models.recordings.files import contents, files_of
from convergence.stimuli import load as stimuli
from convergence.stimuli.folder import listing
from convergence.stimuli.layouts import HELD_OUT, TRAINING
from convergence.stimuli.options import OnError
from convergence.system import user_code
from convergence.system.errors import UserError
from convergence.system.hashing import digest

_GONE = "not there"


def inputs(cfg: Config) -> dict[str, str]:
    """Each file, folder and piece of code that the run depends on, and a hash of its state; the program's too."""
    found = touched(cfg)
    if plain(cfg.dataset).get("factory") and not without_images(cfg):  # only it knows what it reads
        found["dataset.factory"] = stimuli.load(cfg.dataset, split_of(cfg)).fingerprint
    return found


def touched(cfg: Config) -> dict[str, str]:
    """As :func:`inputs`, without asking a data set of the user's code for its images."""
    found = {"program": digest(PROGRAM)}
    sides = [side for side in (cfg.model, cfg.against) if side is not None]
    options = {} if without_images(cfg) else plain(cfg.dataset)
    is_large = options.get("name") == "imagenet" and not any(map(is_trained_here, sides))
    for name in ("root", "shifts_root"):
        if options.get(name):
            found[f"dataset.{name}"] = _state(user_code.absolute(options[name]), TRAINING if is_large else ())
    if options.get("table"):
        table = user_code.absolute(options["table"])
        found["dataset.table"] = digest(_state(table), _states(cfg.dataset))
    for side in sides:
        for path in _files(side):
            found[str(path)] = _state(user_code.absolute(path))
    for spec in specs(plain(cfg)):
        found[spec] = _code(spec)
    return found


def are_current(cfg: Config, folder: Path | None = None) -> bool:
    """Whether a run is finished, and nothing that it was made from has been touched since.

    What is not there any more (a disk that is not mounted, files that were moved away) cannot have another content.
    """
    about = manifest_of(folder or run_folder(cfg))
    if about is None or not isinstance(about.get("inputs"), dict):
        return False
    stops = plain(cfg.dataset).get("on_error") == OnError.stop.value
    if stops and any(images["skipped"] for images in about["stimuli"]):
        return False
    try:
        now = inputs(cfg)
    except UserError:
        return False  # planning the run says what is wrong
    before = about["inputs"]
    return now.keys() == before.keys() and all(now[name] in (before[name], _GONE) for name in now)


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished run; None if there is none that can be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _files(side: ModelConfig) -> list[Path]:
    """The user's files that a model's options name: checkpoints, recordings and their ids."""
    try:
        if isinstance(side, ArraysConfig):
            beside = [Path(side.stimulus_ids)] if side.stimulus_ids else []
            return [*beside, *(part for path in files_of(side).values() for part in contents(path))]
        if isinstance(side, ArchitectureConfig):
            return [file.path for run in patterns.runs(patterns.listed(side.checkpoints)) for file in run.files]
    except UserError:
        pass  # they are not there now
    return []


def _code(spec: str) -> str:
    try:
        return user_code.fingerprint(spec)
    except UserError:
        return _GONE


def _state(path: Path, skipped: tuple[str, ...] = ()) -> str:
    """Of a file, or of all files below a folder: names, sizes and times, none of them opened."""
    if path.is_file():
        return digest(_stamp(path.stat()))
    if not path.is_dir():
        return _GONE
    found: list[Any] = []
    for folder, names, files in os.walk(path):
        names[:] = sorted(n for n in names if not n.startswith("."))
        if folder == str(path) and any(n.lower() in HELD_OUT for n in names):  # else there is nothing but training
            names[:] = [n for n in names if n.lower() not in skipped]
        inner = os.path.relpath(folder, path)
        above = "" if inner == os.curdir else inner + os.sep  # once a folder: of 60,000 files it would take a second
        for name in sorted(files):
            if not name.startswith("."):
                try:
                    stamp: tuple[Any, ...] = _stamp(os.stat(f"{folder}{os.sep}{name}"))
                except OSError:  # a link to nowhere
                    stamp = (_GONE,)
                found.append((above + name, *stamp))
    return digest(found)


def _states(dataset: Any) -> list[str]:
    """Of the files that a table names."""
    try:
        listed = listing(dataset, "all")
    except UserError:
        return []
    return [_state(listed.path(i)) for i in range(len(listed))]


def _stamp(about: os.stat_result) -> tuple[int, ...]:
    # The time of the last change cannot be set back, as that of the last writing can.
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns
