"""The model-vs-human benchmark's own seventeen sets, as they lie on disk (Geirhos et al. 2021, arXiv 2106.07411)."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from convergence.stimuli.base import Stimuli, restricted
from convergence.stimuli.fetch import fetch
from convergence.stimuli.files import FileStimuli, listed
from convergence.stimuli.imagenet import CATEGORIES, categories, understood
from convergence.stimuli.layouts import folders_in, images_in
from convergence.stimuli.options import DatasetConfig, FilesConfig
from convergence.stimuli.shifts import Shift
from convergence.system.errors import UserError

URL = "https://github.com/bethgelab/model-vs-human/releases/download/v0.1/{}.tar.gz"
_CLASSES = tuple(CATEGORIES)
_IN_CLASS_FOLDERS = ("edge", "silhouette", "cue-conflict")
_CONDITION, _CATEGORY, _FIELDS = 3, 4, 6  # of 0001_cop_dnn_c05_dog_10_n02106662_13-4.png; the rest is the image's id


def levels_of(config: DatasetConfig, shift: Shift) -> dict[str, FileStimuli]:
    """The images of one set by level, unopened; a missing set is downloaded, unless ``download`` is off.

    Raises
    ------
    UserError
        If the set is missing (where it was looked for, how to get it), or a file is not named as the benchmark does.
    """
    folder = _folder(config, shift.name)
    if shift.name in _IN_CLASS_FOLDERS:
        return {shift.levels[0]: _class_folders(folder, shift.name)}
    by_level: dict[str, list[tuple[str, int]]] = {level: [] for level in shift.levels}
    for image_id, token, category in _sessions(folder):
        level = shift.meant(token)
        if level is None:
            path, known = folder.parent / image_id, ", ".join(shift.levels)
            raise UserError(f"{path} has the condition {token}, which {shift.name} has not: {known} are known.")
        by_level[level].append((image_id, _CLASSES.index(category)))
    return {level: _listed(f"{shift.name}/{level}", folder, found) for level, found in by_level.items() if found}


def within(base: Stimuli) -> Stimuli:
    """Images of ImageNet's classes or of the sixteen categories, labelled by the latter; the others are left out.

    Classes may be named by WordNet id or in English, as wherever a network's outputs are matched with them; a name that
    is a category's, such as bear, is the category.

    Raises
    ------
    UserError
        If none is left.
    """
    base = replace(base, classes=understood(base.classes))
    gathered = {**categories(), **{name: name for name in CATEGORIES}}
    there = {gathered[name] for name in base.classes if name in gathered}
    if not there:
        raise UserError(
            f"dataset.shifts=model_vs_human compares with images of its sixteen categories, and {base.name} has none "
            "of their classes (n02690373, airliner or airplane, …): use dataset=imagenet, or dataset.shifts=generated."
        )
    return restricted(base, tuple(name for name in CATEGORIES if name in there), gathered)


def _sessions(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Id, condition and category of the images that are named by them."""
    images = images_in(folder.parent, f"{folder.name}/dnn") if (folder / "dnn").is_dir() else []
    if not images:
        raise UserError(f"{folder} has no images in dnn/session-1: remove the folder, and the set is fetched again.")
    for image_id in images:
        fields = PurePosixPath(image_id).stem.split("_")
        if len(fields) < _FIELDS or fields[_CATEGORY] not in CATEGORIES:
            like = "0001_cop_dnn_c05_dog_10_….png"
            raise UserError(
                f"{folder.parent / image_id} is not named as the benchmark names its images ({like}): remove it."
            )
        yield image_id, fields[_CONDITION], fields[_CATEGORY]


def _class_folders(folder: Path, name: str) -> FileStimuli:
    found = []
    for category in folders_in(folder):
        if category not in CATEGORIES:
            raise UserError(f"{folder / category} is no category of the benchmark's ({', '.join(CATEGORIES)}).")
        for image_id in images_in(folder.parent, f"{name}/{category}"):
            found.append((image_id, _CLASSES.index(category)))
    if not found:
        raise UserError(f"{folder} has no images in folders of categories: remove it, and the set is fetched again.")
    return _listed(name, folder, found)


def _listed(name: str, folder: Path, found: list[tuple[str, int]]) -> FileStimuli:
    images = listed(f"model_vs_human/{name}", folder.parent, _CLASSES, found)
    images.members = tuple(tuple(fine for fine, coarse in categories().items() if coarse == n) for n in _CLASSES)
    return images


# ---------------------------------------------------------------- where they lie


def _folder(config: DatasetConfig, name: str) -> Path:
    roots = _roots(config)
    for root in roots:
        if (root / name).is_dir():
            return root / name
    home, url = roots[-1], URL.format(name)
    missing = f"the set {name} was not found in {', '.join(map(str, roots))}"
    command = f"mkdir -p {home} && curl -L {url} | tar -xz -C {home}"
    get = f"get it with `{command}`, or name the folder above it with dataset.shifts_root=PATH"
    if isinstance(config, FilesConfig) and not config.download:
        raise UserError(f"{missing}, and dataset.download=false: {get}.")
    try:
        fetch(url, home / name)
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        raise UserError(f"{missing}, and downloading {url} failed ({reason}): {get}.") from None
    return home / name


def _roots(config: DatasetConfig) -> list[Path]:
    """The last is the one for downloads."""
    if config.shifts_root:
        return [Path(config.shifts_root).expanduser()]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [Path("data/model-vs-human"), Path(cache) / "convergence/model-vs-human"]
