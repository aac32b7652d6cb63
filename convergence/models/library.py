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

from convergence.models import checkpoints, hub, patterns
from convergence.models.network import Network, describe
from convergence.models.options import Library, LibraryConfig
from convergence.models.preprocess import PixelPreprocess, Preprocess, of_timm, of_torchvision
from convergence.stimuli.options import Transform
from convergence.system import torchvision_ops
from convergence.system.errors import UserError
from convergence.system.hashing import hash_tensors

_log = logging.getLogger("convergence")


def names(library: Library) -> list[str]:
    """All classification architectures that the installed library has."""
    torchvision_ops.ensure()
    if library is Library.torchvision:
        from torchvision import models

        return sorted(models.list_models(module=models))
    import timm

    return sorted(timm.list_models())


def trajectories(
    config: LibraryConfig, transform: Transform | None = None, *, from_start: bool = False
) -> list[list[Network]]:
    """For each of ``weights`` and each training run among ``checkpoints``, its networks in order of training.

    Without weights and checkpoints, untrained ones.

    Parameters
    ----------
    transform : how images become input, if not the model's own way.
    from_start : let runs that have no checkpoint before training begin with a network initialised at random.

    Raises
    ------
    UserError
        If there is no such architecture or weights, a download fails, or a checkpoint is of another architecture.
    """
    fetched = [(weights, _pretrained(config, weights)) for weights in config.weights or []]
    found = [[_network(config, transform, weights, builder)] for weights, builder in fetched]
    for number, run in enumerate(patterns.runs(patterns.listed(config.checkpoints))):
        found.append(_trajectory(config, transform, run, number, from_start))
    return found or [[network] for network in untrained(config, transform)]


def untrained(config: LibraryConfig, transform: Transform | None = None) -> list[Network]:
    """Networks initialised from ``seeds.init``."""
    return [
        _network(
            config, transform, f"untrained{seed}", partial(_initialised, config, seed), seed=seed, step=0, epoch=0.0
        )
        for seed in config.seeds.init
    ]


def _trajectory(
    config: LibraryConfig, transform: Transform | None, run: patterns.Run, number: int, from_start: bool
) -> list[Network]:
    """The checkpoints of one training run; layers and preprocessing are looked up once, for the first."""
    first = run.files[0]
    builder = partial(_own, config, first.path)
    networks = [_network(config, transform, run.name, builder, run.seed, first.step, first.epoch)]
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
    transform: Transform | None,
    weights: str,
    builder: Callable[[], nn.Module],
    seed: int | None = None,
    step: int | None = None,
    epoch: float | None = None,
) -> Network:
    model = builder().eval()
    preprocess, size = _preprocess(config, model, weights, transform)
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
    more |= _sized(config)
    if config.library is Library.torchvision:
        from torchvision import models

        if config.name in ("googlenet", "inception_v3"):
            more["init_weights"] = True
        return models.get_model(config.name, weights=None, **more)
    import timm

    return timm.create_model(config.name, pretrained=False, **more)


def _sized(config: LibraryConfig) -> dict[str, Any]:
    """The argument by which architectures that take images of one size alone are made for another."""
    if config.image_size is None:
        return {}
    if config.library is Library.torchvision:
        return {"image_size": config.image_size} if config.name.startswith("vit_") else {}
    import timm

    known = timm.get_pretrained_cfg(config.name)
    return {"img_size": config.image_size} if known is not None and known.fixed_input_size else {}


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
    state = checkpoints.strip(checkpoints.rename(checkpoints.read(path), config.key_map), expected)
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
        if _sized(config) and config.image_size != entry.meta["min_size"][0]:
            raise UserError(
                f"model.image_size={config.image_size}: torchvision's trained {config.name} takes images of "
                f"{entry.meta['min_size'][0]} pixels alone; leave image_size out, or use timm's (model=timm)."
            )
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
    fetch = partial(_from_hub, name, _sized(config))
    return partial(_fetched, fetch, config.name, weights, Path(constants.HF_HUB_CACHE), how)


def _from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    import timm
    from huggingface_hub import constants

    with hub.offline_if_unreachable() as offline:
        try:
            return timm.create_model(name, pretrained=True, **options)
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


def _preprocess(
    config: LibraryConfig, model: nn.Module, weights: str, transform: Transform | None
) -> tuple[Preprocess, int]:
    """The library's own transform for these weights, or its default ones', and the size of the network's input."""
    if config.library is Library.torchvision:
        from torchvision import models

        entries = models.get_model_weights(config.name)
        entry = entries[weights] if weights in entries.__members__ else entries["DEFAULT"]  # type: ignore[misc]
        own: Preprocess = of_torchvision(entry.transforms())
        size = entry.transforms().crop_size[0]
    else:
        from timm.data import resolve_data_config

        data = resolve_data_config({}, model=model)
        own, size = of_timm(data), data["input_size"][-1]
    if config.image_size is None and transform is None:
        return own, size
    size = config.image_size or size
    return PixelPreprocess(size, own.mean, own.std, stretch=transform is Transform.stretch), size
