"""Where images come from."""

from __future__ import annotations

from pathlib import Path

from convergence.stimuli.base import Stimuli
from convergence.stimuli.layouts import has_splits
from convergence.stimuli.options import DatasetConfig, FilesConfig, ModuleConfig, ShapesConfig
from convergence.system.errors import UserError


def load(config: DatasetConfig, split: str) -> Stimuli:
    """The images of a split: "train" (``train_images`` of them), "test" (``stimuli`` held-out ones), or "all".

    "all" is for stimuli of networks that are not trained on this data set: then nothing has to be held out, unless the
    data set comes in splits of its own. Data sets on disk that go by another name than the known ones are folders, and
    so are the known ones where they lie as images in class folders below ``train`` and ``test``.

    Raises
    ------
    UserError
        If the data set is missing (where it was looked for, how to get it), broken, or smaller than asked for.
    """
    if split not in ("train", "test", "all"):
        raise ValueError(f"split={split!r} is neither 'train' nor 'test' nor 'all'")
    from convergence.stimuli import archives, folder, module, shapes

    if isinstance(config, ModuleConfig):
        return module.from_module(config, split)
    divided = "test" if split == "all" else split
    if isinstance(config, ShapesConfig):
        return shapes.shapes(config, divided)
    if config.name == "digits":
        return archives.digits(config, divided)
    if not isinstance(config, FilesConfig):
        raise UserError(f"dataset.name={config.name} is no data set: leave the name as its group sets it.")
    loaders = {
        "fashion_mnist": archives.fashion_mnist,
        "cifar10": archives.cifar,
        "cifar100": archives.cifar,
    }
    if config.name in loaders and not (config.root and has_splits(Path(config.root).expanduser())):
        return loaders[config.name](config, divided)
    return folder.image_folder(config, split)
