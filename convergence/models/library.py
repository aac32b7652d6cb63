"""Architectures of torchvision and timm, with the library's weights and preprocessing, or with the user's weights."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence import torchvision_ops
from convergence.config import Library, LibraryConfig
from convergence.errors import UserError
from convergence.models import checkpoints
from convergence.models.network import Network, describe, hash_weights
from convergence.models.preprocess import ImagePreprocess, PixelPreprocess, Preprocess

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def names(library: Library) -> list[str]:
    """All classification architectures that the installed library has."""
    torchvision_ops.ensure()
    if library is Library.torchvision:
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    return sorted(timm.list_models())


def networks(config: LibraryConfig) -> list[Network]:
    """One network for each of ``weights`` and ``checkpoints``; without either, untrained ones.

    Raises
    ------
    UserError
        If there is no such architecture or weights, a download fails, or a checkpoint is of another architecture.
    """
    found = []
    for weights in config.weights or []:
        found.append(_network(config, weights, _pretrained(config, weights)))
    for path in map(Path, config.checkpoints or []):
        found.append(_network(config, path.name, partial(_own, config, path, checkpoints.read(path))))
    return found or untrained(config)


def untrained(config: LibraryConfig) -> list[Network]:
    """Networks initialised from ``seeds.init``."""
    return [
        _network(config, f"untrained{seed}", partial(_initialised, config, seed), seed=seed, step=0)
        for seed in config.seeds.init
    ]


def _network(
    config: LibraryConfig,
    weights: str,
    builder: Callable[[], nn.Module],
    seed: int | None = None,
    step: int | None = None,
) -> Network:
    model = builder().eval()
    preprocess, size = _preprocess(config, model, weights)
    layers, units = describe(model, torch.zeros(1, 3, size, size), config.layers, config.units, config.name)
    return Network(
        model=config.name,
        weights=weights,
        seed=seed,
        step=step,
        epoch=None if step is None else 0.0,
        weights_hash=hash_weights(model.state_dict()),
        layers=layers,
        units=units,
        preprocess=preprocess,
        classes=_classes(config, weights),
        builder=builder,
    )


def _create(config: LibraryConfig, classes: int | None = None) -> nn.Module:
    """The architecture, initialised."""
    torchvision_ops.ensure()
    more: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    known = names(config.library)
    if config.name.split(".")[0] not in known:
        near = difflib.get_close_matches(config.name, known, n=3, cutoff=0.0)
        raise UserError(
            f"model.name={config.name} is not in {config.library.value}: the nearest are {', '.join(near)}."
        )
    if config.library is Library.torchvision:
        from torchvision import models

        if config.name in ("googlenet", "inception_v3"):
            more["init_weights"] = True
        return models.get_model(config.name, weights=None, **more)
    import timm

    return timm.create_model(config.name, pretrained=False, **more)


def _initialised(config: LibraryConfig, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _create(config)


def _own(config: LibraryConfig, path: Path, state: dict[str, Tensor]) -> nn.Module:
    model = _create(config)
    state = checkpoints.strip(state, model.state_dict())
    classes = checkpoints.outputs(state, model.state_dict())
    if classes is not None:
        model = _create(config, classes)
    checkpoints.load(model, state, path, config.name)
    return model


def _pretrained(config: LibraryConfig, weights: str) -> Callable[[], nn.Module]:
    _create(config)  # the name is checked before anything is fetched
    if config.library is Library.torchvision:
        from torchvision import models

        try:
            entry = models.get_model_weights(config.name)[weights]
        except KeyError:
            known = ", ".join(models.get_model_weights(config.name).__members__)
            raise UserError(f"model.weights={weights} is not known for {config.name}: choose from {known}.") from None
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        how = f"import torchvision; torchvision.models.get_model('{config.name}', weights='{weights}')"
        return partial(
            _fetched, lambda: models.get_model(config.name, weights=entry), config.name, weights, folder, how
        )
    import timm

    name = config.name if weights == "DEFAULT" else f"{config.name.split('.')[0]}.{weights}"
    if not timm.is_model_pretrained(name):
        tags = [n.split(".", 1)[1] for n in timm.list_pretrained(f"{config.name.split('.')[0]}.*")]
        raise UserError(f"model.weights={weights} is not known for {config.name}: choose from {', '.join(tags)}.")
    from huggingface_hub import constants

    how = f"import timm; timm.create_model('{name}', pretrained=True)"
    fetch = partial(timm.create_model, name, pretrained=True)
    return partial(_fetched, fetch, config.name, weights, Path(constants.HF_HUB_CACHE), how)


def _fetched(fetch: Callable[[], nn.Module], name: str, weights: str, folder: Path, how: str) -> nn.Module:
    try:
        return fetch()
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise UserError(
            f"the weights {weights} of {name} are not in {folder} and could not be fetched ({reason}): on a machine "
            f'with a network run `python -c "{how}"` and copy that folder here.'
        ) from None


def _preprocess(config: LibraryConfig, model: nn.Module, weights: str) -> tuple[Preprocess, int]:
    """The library's own transform for these weights, or its default ones', and the size of the network's input."""
    if config.image_size is not None:
        return PixelPreprocess(config.image_size, **_IMAGENET), config.image_size
    if config.library is Library.torchvision:
        from torchvision import models

        entries = models.get_model_weights(config.name)
        entry = entries[weights] if weights in entries.__members__ else entries["DEFAULT"]  # type: ignore[misc]
        transform = entry.transforms()
        return ImagePreprocess(transform), transform.crop_size[0]
    from timm.data import create_transform, resolve_data_config

    data = resolve_data_config({}, model=model)
    return ImagePreprocess(create_transform(**data, is_training=False)), data["input_size"][-1]


def _classes(config: LibraryConfig, weights: str) -> tuple[str, ...] | None:
    if config.library is Library.torchvision and config.weights and weights in config.weights:
        from torchvision import models

        return tuple(models.get_model_weights(config.name)[weights].meta.get("categories", ())) or None
    return None
