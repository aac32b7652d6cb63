"""Other shifted sets that lie in folders: ImageNet-C, -R, -A, -Sketch, ImageNetV2, and any folder of class folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from convergence.stimuli.files import FileStimuli, listed
from convergence.stimuli.imagenet import class_order
from convergence.stimuli.layouts import folders_in, images_in
from convergence.stimuli.options import DatasetConfig, ShiftSource
from convergence.stimuli.shifts import Graded
from convergence.system.errors import UserError

_SEVERITIES = ("1", "2", "3", "4", "5")
_ONE = ("0",)
_TAKEN = ("wd",)  # what results call the images within distribution
_FOLDER = " (folder)"
_LAYOUTS = {
    ShiftSource.imagenet_c: "<corruption>/<1-5>/<wnid>/*.JPEG",
    ShiftSource.imagenet_r: "<wnid>/*.jpg",
    ShiftSource.imagenet_a: "<wnid>/*.jpg",
    ShiftSource.imagenet_sketch: "<wnid>/*.JPEG",
    ShiftSource.imagenet_v2: "<0-999>/*.jpeg",
    ShiftSource.image_folder: "<class>/*, or <shift>/<class>/*",
}


def root_of(config: DatasetConfig, layout: str) -> Path:
    """The folder of the shifted images.

    Raises
    ------
    UserError
        If none is named, or it is none.
    """
    looked = config.shifts_root or "no folder (dataset.shifts_root is not set)"
    if not config.shifts_root or not Path(config.shifts_root).expanduser().is_dir():
        raise UserError(
            f"dataset.shifts={config.shifts.value} looked in {looked} for {layout}: name the folder above these with "
            "dataset.shifts_root=PATH."
        )
    return Path(config.shifts_root).expanduser()


def offered(config: DatasetConfig, classes: tuple[str, ...]) -> list[Graded]:
    """The shifts that lie in the folder.

    Parameters
    ----------
    classes : those within distribution; a folder of class folders is known by them.

    Raises
    ------
    UserError
        If there is none.
    """
    root = root_of(config, _LAYOUTS[config.shifts])
    if config.shifts is ShiftSource.imagenet_c:
        found = [(name, [s for s in folders_in(root / name) if s in _SEVERITIES]) for name in folders_in(root)]
        shifts = [Graded(_called(name), tuple(levels), tuple(levels)) for name, levels in found if levels]
    elif config.shifts is not ShiftSource.image_folder:
        shifts = [Graded(config.shifts.value.replace("_", "-"), _ONE, _ONE)]
    elif set(folders_in(root)) & set(classes):
        shifts = [Graded(_called(root.resolve().name), _ONE, _ONE)]
    else:
        shifts = [Graded(_called(name), _ONE, _ONE) for name in folders_in(root) if folders_in(root / name)]
    if not shifts:
        raise UserError(f"{root} holds nothing like {_LAYOUTS[config.shifts]}, as {config.shifts.value} does.")
    return shifts


def images(config: DatasetConfig, shift: Graded, level: str, classes: tuple[str, ...]) -> FileStimuli:
    """One shift's images at one level, unopened, labelled by ``classes``, of those classes that are there.

    Raises
    ------
    UserError
        If there are no images, or, in a folder of the user's own, there is a class that is not among ``classes``.
    """
    root = root_of(config, _LAYOUTS[config.shifts])
    if config.shifts is ShiftSource.imagenet_c:
        root = root / _folder(shift) / level
    elif config.shifts is ShiftSource.image_folder and not set(folders_in(root)) & set(classes):
        root = root / _folder(shift)
    found, there = [], []
    for folder, name in _class_folders(root, config.shifts):
        if name not in classes:
            if config.shifts is ShiftSource.image_folder:
                raise UserError(
                    f"{root / folder} is a class that dataset={config.name} has not: give it the name of one that it "
                    "has, or take it away."
                )
            continue
        files = images_in(root, folder)
        if files:
            there.append(name)
            found += [(image_id, len(there) - 1) for image_id in files]
    if not found:
        raise UserError(
            f"{root} has no images of classes that dataset={config.name} has ({', '.join(classes[:3])}, …)."
        )
    return listed(f"{config.shifts.value}/{shift.name}/{level}", root, tuple(there), found)


def _called(folder: str) -> str:
    """The shift's name: that of its folder, unless results have another meaning for it."""
    return folder + _FOLDER if folder.lower() in _TAKEN else folder


def _folder(shift: Graded) -> str:
    return shift.name.removesuffix(_FOLDER)


def _class_folders(root: Path, source: ShiftSource) -> Iterator[tuple[str, str]]:
    """Folders, and the classes that they mean."""
    for name in folders_in(root):
        if source is not ShiftSource.imagenet_v2:
            yield name, name
        elif name.isdecimal() and int(name) < len(class_order()):
            yield name, class_order()[int(name)]
        else:
            raise UserError(f"{root / name} is no class of ImageNetV2, whose folders are 0 … 999: take it away.")
