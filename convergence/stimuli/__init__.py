"""Where images come from."""

from __future__ import annotations

from typing import cast

from convergence.config import DatasetConfig, FilesConfig, ShapesConfig
from convergence.stimuli.base import Stimuli


def load(config: DatasetConfig, split: str) -> Stimuli:
    """The images of a split: "train" (``train_images`` of them) or "test" (``stimuli`` held-out ones).

    Raises
    ------
    UserError
        If the data set is missing (where it was looked for, how to get it), broken, or smaller than asked for.
    """
    if isinstance(config, ShapesConfig) or config.name == "shapes":
        from convergence.stimuli.shapes import shapes

        return shapes(cast(ShapesConfig, config), split)
    if config.name == "digits":
        from convergence.stimuli.archives import digits

        return digits(config, split)
    from convergence.stimuli import archives, folder

    loaders = {
        "fashion_mnist": archives.fashion_mnist,
        "cifar10": archives.cifar,
        "cifar100": archives.cifar,
        "imagenet": folder.imagenet,
    }
    return loaders.get(config.name, folder.image_folder)(cast(FilesConfig, config), split)
