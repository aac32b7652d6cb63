"""Every network that conf/model/ names is in the installed libraries, and can be extracted and scored."""

from __future__ import annotations

import functools
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convergence.activations.cache import Cached
from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.alignment.score import score
from convergence.axes.comparison import corresponding
from convergence.experiment.compose import compose
from convergence.models import library
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig, SeedsConfig
from convergence.models.skeleton import without_memory
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system import torchvision_ops
from tests.support import weights

torchvision_ops.ensure()

# Layers, units of all of them, and the sizes of the images that the trainings were evaluated on.
ZOO = {
    "resnet18": (18, 4_904, {224, 160}),
    "resnet50": (50, 23_720, {224, 176, 160}),
    "vgg16_bn": (16, 13_416, {224}),
    "vgg19_bn": (19, 14_696, {224}),
    "alexnet": (8, 10_344, {224}),
    "densenet121": (121, 11_240, {224}),
    "mobilenet": (64, 19_560, {224}),
    "efficientnet": (82, 31_348, {224}),
    "convnext": (56, 40_840, {224}),
    "vit": (14, 10_984, {224}),
    "deit": (14, 5_992, {224}),
    "deit3": (14, 5_992, {224}),
    "self_supervised": (14, 10_984, {224}),
}


@functools.cache
def config(choice: str) -> LibraryConfig:
    made = compose([f"model={choice}"]).model
    assert isinstance(made, LibraryConfig)
    return made


def test_the_populations_hold_more_than_forty_networks_each_once() -> None:
    members = [(c.library, c.name, w) for c in map(config, ZOO) for w in c.weights or []]
    assert len(members) == len(set(members)) == 49


@pytest.mark.parametrize("choice", ZOO)
def test_every_training_is_in_its_library_with_the_architectures_layers_and_the_expected_input(choice: str) -> None:
    model = config(choice)
    assert model.weights
    assert model.name in library.names(model.library)
    if model.library is Library.torchvision:
        from torchvision import models

        found = models.get_model_weights(model.name).__members__
        assert set(model.weights) <= set(found)
        assert {found[w].transforms().crop_size[0] for w in model.weights} == ZOO[choice][2]
        return
    import timm

    def body(name: str) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights but the classifier's, whose width is the number of classes."""
        head = timm.get_pretrained_cfg(name).classifier
        with without_memory():
            state = timm.create_model(name).state_dict()
        return {n: tuple(v.shape) for n, v in state.items() if not n.startswith(f"{head}.")}

    names = [f"{model.name}.{w}" for w in model.weights]
    assert all(timm.is_model_pretrained(n) for n in names)
    assert {timm.get_pretrained_cfg(n).input_size[-1] for n in names} == ZOO[choice][2]
    expected = body(model.name)
    assert all(body(n) == expected for n in names)


@pytest.mark.slow
def test_every_architecture_extracts_and_scores_with_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    from torchvision import models

    weights.cheap(monkeypatch)
    # A network is made to look at its layers and again to extract: from one seed, so one will do.
    monkeypatch.setattr(timm, "create_model", functools.cache(timm.create_model))
    monkeypatch.setattr(models, "get_model", functools.cache(models.get_model))
    stimuli = load(ShapesConfig(size=64, stimuli=10), "test")
    before: tuple[Network, Cached] | None = None
    # Choices that differ in their weights alone are one network here.
    chosen = {repr(replace(config(choice), weights=None)): choice for choice in ZOO}
    for choice in chosen.values():
        model = deepcopy(config(choice))
        model.weights, model.seeds, model.image_size = None, SeedsConfig([0]), 64
        (network,) = library.untrained(model)
        layers, units, _ = ZOO[choice]
        cpu = torch.device("cpu")
        found = extract(network, Loader(network.preprocess, stimuli, tmp_path, 10, 0, cpu))
        assert (len(found.layers), sum(found.layers.values())) == (layers, units)
        if before is not None:
            pairs = corresponding(before[0], network)
            table = score(before[1], found, pairs, metrics=["procrustes"], folds=2, memory_gb=1)
            assert len(table) == 4 * len(pairs)
            assert table.score.between(-1, 1).all()
        before = (network, found)
