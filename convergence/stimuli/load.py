"""Where images come from."""

from __future__ import annotations

from convergence.stimuli.base import Stimuli
from convergence.stimuli.options import DatasetConfig, FilesConfig, ShapesConfig
from convergence.system.errors import UserError


def load(config: DatasetConfig, split: str) -> Stimuli:
    """The images of a split: "train" (``train_images`` of them) or "test" (``stimuli`` held-out ones).

    Data sets on disk that go by another name than the known ones are folders of class folders.

    Raises
    ------
    UserError
        If the data set is missing (where it was looked for, how to get it), broken, or smaller than asked for.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split={split!r} is neither 'train' nor 'test'")
    from convergence.stimuli import archives, folder, shapes

    if isinstance(config, ShapesConfig):
        return shapes.shapes(config, split)
    if config.name == "digits":
        return archives.digits(config, split)
    if not isinstance(config, FilesConfig):
        raise UserError(f"dataset.name={config.name} is no data set: leave the name as its group sets it.")
    loaders = {
        "fashion_mnist": archives.fashion_mnist,
        "cifar10": archives.cifar,
        "cifar100": archives.cifar,
    }
    return loaders.get(config.name, folder.image_folder)(config, split)
