"""The library's network that tests of libraries and of fetched weights share."""

from __future__ import annotations

from convergence.models.options import Library, LibraryConfig


def torchvision(**options: object) -> LibraryConfig:
    return LibraryConfig(name="resnet18", library=Library.torchvision, image_size=32, **options)  # type: ignore[arg-type]
