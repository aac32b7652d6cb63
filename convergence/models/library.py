"""Architectures of torchvision and timm, with the library's weights and preprocessing, or with the user's weights."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence import torchvision_ops
from convergence.config import Library, LibraryConfig
from convergence.errors import UserError
from convergence.hashing import hash_tensors
from convergence.models import checkpoints, hub, patterns
from convergence.models.network import Network, describe
from convergence.models.preprocess import ImagePreprocess, PixelPreprocess, Preprocess

_log = logging.getLogger("convergence")
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def names(library: Library) -> list[str]:
    """All classification architectures that the installed library has."""
    torchvision_ops.ensure()
    if library is Library.torchvision:
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    return sorted(timm.list_models())


def trajectories(config: LibraryConfig, *, from_start: bool = False) -> list[list[Network]]:
    """For each of ``weights`` and each training run among ``checkpoints``, its networks in order of training.

    Without weights and checkpoints, untrained ones.

    Parameters
    ----------
    from_start : let runs that have no checkpoint before training begin with a network initialised at random.

    Raises
    ------
    UserError
        If there is no such architecture or weights, a download fails, or a checkpoint is of another architecture.
    """
    found = [[_network(config, weights, _pretrained(config, weights))] for weights in config.weights or []]
    for number, run in enumerate(patterns.runs(patterns.listed(config.checkpoints))):
        found.append(_trajectory(config, run, number, from_start))
    return found or [[network] for network in untrained(config)]


def untrained(config: LibraryConfig) -> list[Network]:
    """Networks initialised from ``seeds.init``."""
    return [
        _network(config, f"untrained{seed}", partial(_initialised, config, seed), seed=seed, step=0, epoch=0.0)
        for seed in config.seeds.init
    ]


def _trajectory(config: LibraryConfig, run: patterns.Run, number: int, from_start: bool) -> list[Network]:
    """The checkpoints of one training run; layers and preprocessing are looked up once, for the first."""
    first = run.files[0]
    networks = [_network(config, run.name, partial(_own, config, first.path), run.seed, first.step, first.epoch)]
    for file in run.files[1:]:
        builder = partial(_own, config, file.path)
        weights = hash_tensors(builder().state_dict())
        networks.append(replace(networks[0], step=file.step, epoch=file.epoch, weights_hash=weights, builder=builder))
    if from_start and not networks[0].is_untrained:
        _log.warning(
            "%s has no checkpoint before training: its rise is measured from a network of the same architecture, "
            "initialised at random.",
            run.name,
        )
        seed = number if run.seed is None else run.seed
        builder = partial(_initialised, config, seed, _state(config, first.path)[1])
        weights = hash_tensors(builder().state_dict())
        networks.insert(0, replace(networks[0], step=0, epoch=0.0, weights_hash=weights, builder=builder))
    return networks


def _network(
    config: LibraryConfig,
    weights: str,
    builder: Callable[[], nn.Module],
    seed: int | None = None,
    step: int | None = None,
    epoch: float | None = None,
) -> Network:
    model = builder().eval()
    preprocess, size = _preprocess(config, model, weights)
    layers, units = describe(model, torch.zeros(1, 3, size, size), config.layers, config.units, config.name)
    return Network(
        model=config.name,
        weights=weights,
        seed=seed,
        step=step,
        epoch=epoch,
        weights_hash=hash_tensors(model.state_dict()),
        layers=layers,
        units=units,
        preprocess=preprocess,
        classes=None,
        builder=builder,
        precision=config.precision,
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


def _initialised(config: LibraryConfig, seed: int, classes: int | None = None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _create(config, classes)


def _own(config: LibraryConfig, path: Path) -> nn.Module:
    state, classes = _state(config, path)
    model = _create(config, classes)
    checkpoints.load(model, state, path, config.name)
    return model


def _state(config: LibraryConfig, path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The file's weights, and how many classes they have where the architecture has another number."""
    expected = _create(config).state_dict()
    state = checkpoints.strip(checkpoints.read(path), expected)
    return state, checkpoints.outputs(state, expected)


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
    return partial(_fetched, partial(_from_hub, name), config.name, weights, Path(constants.HF_HUB_CACHE), how)


def _from_hub(name: str) -> nn.Module:
    import timm
    from huggingface_hub import constants

    with hub.offline_if_unreachable() as offline:
        try:
            return timm.create_model(name, pretrained=True)
        except Exception:
            if offline:
                raise OSError(f"{constants.ENDPOINT} cannot be reached") from None
            raise


def _fetched(fetch: Callable[[], nn.Module], name: str, weights: str, folder: Path, how: str) -> nn.Module:
    try:
        return fetch()
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:120].strip()
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
