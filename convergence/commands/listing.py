"""``convergence list``: what there is to choose from: models, layers, data sets, metrics."""

from __future__ import annotations

import difflib
from fnmatch import fnmatch
from typing import Any

from convergence.system.errors import UserError
from convergence.system.terminal import show

_DATASETS = {
    "shapes": "16 classes of drawn outlines; nothing to download (the default)",
    "digits": "scikit-learn's 1,797 digits",
    "fashion_mnist": "clothes, 28 × 28; Debian's package, torchvision's files, or a download",
    "cifar10": "photographs, 32 × 32, 10 classes",
    "cifar100": "photographs, 32 × 32, 100 classes",
    "imagenet": "ILSVRC2012: dataset.root=FOLDER above val/<wnid>/",
    "image_folder": "images in a folder, flat or by class: dataset.root=FOLDER, or dataset.table=FILE.csv",
    "module": "images of your own code: dataset.factory=FILE.py:NAME",
}


def add(commands: Any) -> None:
    """Declare ``list``."""
    parser = commands.add_parser(
        "list",
        help="models|layers|datasets|metrics [pattern]: what there is to choose from",
        usage="convergence list models|datasets|metrics [PATTERN]\n       convergence list layers MODEL [PATTERN …]",
        description="Names to choose from. A pattern is shell style (resnet1*), or a part of a name.",
    )
    parser.add_argument("kind", metavar="models|layers|datasets|metrics")
    parser.add_argument("words", nargs="*", metavar="PATTERN")
    parser.set_defaults(call=lambda options: listing(options.kind, options.words))


def listing(kind: str, words: list[str]) -> int:
    """Print names and what they are; returns the exit status.

    Raises
    ------
    UserError
        If nothing goes by that name, with the nearest.
    """
    kinds = {"models": _models, "metrics": _metrics, "datasets": lambda: _DATASETS}
    if kind == "layers":
        return _layers(words)
    if kind not in kinds:
        near = difflib.get_close_matches(kind, [*kinds, "layers"], n=1, cutoff=0.0)[0]
        raise UserError(f"list {kind} is not known; did you mean list {near}?")
    rows = kinds[kind]()
    pattern = words[0] if words else "*"
    shown = [(name, text) for name, text in rows.items() if fnmatch(name, pattern) or pattern in name]
    if not shown:
        near = ", ".join(difflib.get_close_matches(pattern, rows, n=3, cutoff=0.0))
        raise UserError(f"no {kind} match '{pattern}': the nearest are {near}.")
    show(shown, folded=1)
    return 0


def _metrics() -> dict[str, str]:
    from convergence.alignment.metrics.catalogue import MEASURES

    return {
        name: m.about + ("" if m.fitted else "; nothing is fitted") + ("; symmetric" if m.symmetric else "")
        for name, m in MEASURES.items()
    }


def _models() -> dict[str, str]:
    from convergence.models import library, recipes
    from convergence.models.options import Library

    rows = {name: f"recipe, trained here: model={name}" for name in recipes.RECIPES}
    for kind in Library:
        for name in library.names(kind):
            text = f"model={kind.value} model.name={name}"
            rows[name] = f"{rows[name]}, or {text}" if name in rows else text
    return rows


def _layers(words: list[str]) -> int:
    if not words:
        raise UserError("list layers needs a model's name, such as `list layers resnet18`.")
    layers = _layers_of(words[0], words[1:] or None)
    show(
        [(label, layer.kind, " × ".join(map(str, layer.shape)), layer.units) for label, layer in layers.items()],
        folded=0,
    )
    return 0


def _layers_of(name: str, patterns: list[str] | None) -> dict[str, Any]:
    """Those of the choice model=NAME where there is one, else of a library's architecture of that name."""
    import torch

    from convergence.experiment.compose import compose, conf_folder
    from convergence.models import library, recipes
    from convergence.models.layers import choose
    from convergence.models.options import Library, LibraryConfig, SeedsConfig

    if name in recipes.RECIPES:
        return choose(recipes.build(name, 16, 0).eval(), torch.zeros(1, 3, 32, 32), patterns, name)
    if (conf_folder() / "model" / f"{name}.yaml").is_file():
        config = compose([f"model={name}"]).model
    else:
        kind = Library.torchvision if name in library.names(Library.torchvision) else Library.timm
        config = LibraryConfig(name=name, library=kind)
    if not isinstance(config, LibraryConfig) or not isinstance(config.name, str) or config.name == "???":
        raise UserError(f"model={name} stands for networks that it does not name: list the layers of one by its name.")
    config.weights, config.checkpoints, config.layers, config.seeds = None, None, patterns, SeedsConfig([0])
    return dict(library.untrained(config)[0].layers)
