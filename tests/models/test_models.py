"""Networks: recipes from seeds, libraries, the user's checkpoints, and which layers are tapped."""

from __future__ import annotations

import logging
import pickle
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from convergence.experiment.members import members
from convergence.models import library, recipes, seeds
from convergence.models import load as models
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig, SeedsConfig, TrainingConfig, Units
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system.errors import UserError
from convergence.system.hashing import hash_tensors
from tests.support.command import FORKED
from tests.support.kills import train_until_killed
from tests.support.libraries import torchvision
from tests.support.recipes import SMALL, recipe, trained

CPU = torch.device("cpu")


def test_training_saves_step_0_early_steps_and_the_end_of_each_epoch(tmp_path: Path) -> None:
    run = models.trajectories(recipe(), SMALL, folder=tmp_path, device=CPU)[0]
    assert [n.step for n in run] == [0, 1, 2, 4, 8]
    assert run[-1].epoch == 2.0
    assert run[0].is_untrained


def test_the_same_seeds_give_the_same_weights_and_each_seed_has_its_own_effect(tmp_path: Path) -> None:
    def last(init: int, order: int, place: str) -> Network:
        config = recipe()
        config.seeds = SeedsConfig(init=[init], order=[order])
        return trained(config, SMALL, folder=tmp_path / place, device=CPU)[0]

    base = last(0, 0, "a").weights_hash
    assert last(0, 0, "b").weights_hash == base
    assert len({base, last(0, 1, "a").weights_hash, last(1, 0, "a").weights_hash}) == 3


def test_a_training_that_is_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    child = FORKED.Process(target=train_until_killed, args=(tmp_path / "killed",))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    resumed = trained(recipe(), SMALL, folder=tmp_path / "killed", device=CPU)[0]
    undisturbed = trained(recipe(), SMALL, folder=tmp_path / "whole", device=CPU)[0]
    assert resumed.weights_hash == undisturbed.weights_hash


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_broken_checkpoint_is_trained_again_with_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("convergence"), "propagate", True)
    before = [n.weights_hash for n in models.trajectories(recipe(), SMALL, folder=tmp_path, device=CPU)[0]]
    path = next(tmp_path.glob("*/step-0000002.safetensors"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 64
    path.write_bytes({"truncated": content[:100], "flipped": content, "empty": b""}[damage])
    assert [n.weights_hash for n in models.trajectories(recipe(), SMALL, folder=tmp_path, device=CPU)[0]] == before
    assert f"{path} is broken: its network is trained again." in caplog.text


@pytest.mark.parametrize(
    ("init", "order", "labels"),
    [
        ([0, 1], None, ["seed0", "seed1"]),
        ([3], [0, 1], ["init3-order0", "init3-order1"]),
        ([0, 1, 2], [0], ["init0-order0", "init1-order0", "init2-order0"]),
        ([0, 1], [1, 0], ["init0-order1", "init1-order0"]),
    ],
)
def test_initialisation_and_order_vary_alone_or_together(
    init: list[int], order: list[int] | None, labels: list[str]
) -> None:
    pairs = seeds.named(SeedsConfig(init=init, order=order))
    assert seeds.labels(pairs) == labels
    assert len(set(pairs)) == len(labels)
    # A population takes the same ones for the same networks.
    config = recipe()
    config.seeds = SeedsConfig(init=init, order=order)
    assert [seeds.named(one.seeds)[0] for one in members(config)] == pairs


@pytest.mark.parametrize(
    ("init", "order", "sentence"),
    [
        ([0, 1, 2], [0, 1], "has 3 seeds and model.seeds.order has 2: give as many, one of either"),
        ([0, 0], None, r"init=\[0, 0\] names a network twice"),
        ([1], [2, 2], r"init=\[1\] with model.seeds.order=\[2, 2\] names a network twice"),
    ],
)
def test_seeds_that_name_no_clear_set_of_networks_are_refused(
    init: list[int], order: list[int] | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        seeds.named(SeedsConfig(init=init, order=order))


def test_a_diverging_training_names_the_step_and_the_rate_and_keeps_what_is_good(tmp_path: Path) -> None:
    config = recipe()
    config.training.learning_rate = 1e30
    with pytest.raises(UserError, match=r"diverged at step \d+ \(learning rate .*lower model.training.learning_rate"):
        trained(config, SMALL, folder=tmp_path, device=CPU)
    assert list(tmp_path.glob("*/step-0000000.safetensors"))


@pytest.mark.parametrize(
    ("name", "layers", "units"),
    [("tiny_resnet", 8, Units.center), ("tiny_vgg", 7, Units.center), ("tiny_vit", 6, Units.cls)],
)
def test_recipes_have_their_layers(name: str, layers: int, units: Units, tmp_path: Path) -> None:
    config = recipe()
    config.name, config.training.epochs = name, 0
    config.training.early_checkpoints = 0
    network = trained(config, SMALL, folder=tmp_path, device=CPU)[0]
    assert len(network.layers) == layers
    assert network.units is units
    depths = list(network.depths.values())
    assert (depths[0], depths[-1]) == (0, 1)


def test_resnet18_has_17_convolutions_and_a_linear_layer_without_shortcuts() -> None:
    network = library.trajectories(torchvision())[0][-1]
    kinds = [layer.kind for layer in network.layers.values()]
    assert kinds.count("Conv2d") == 17
    assert kinds[-1] == "Linear"
    assert not any("downsample" in name for name in network.layers)


def test_a_timm_transformer_is_tapped_at_its_patches_its_blocks_and_its_head() -> None:
    config = LibraryConfig(name="vit_tiny_patch16_224", library=Library.timm)
    network = library.trajectories(config)[0][-1]
    assert list(network.layers) == ["patch_embed.proj", *(f"blocks.{i}" for i in range(12)), "head"]
    assert {layer.units for layer in list(network.layers.values())[1:-1]} == {"cls"}


def test_without_weights_a_library_gives_untrained_networks_of_the_seeds() -> None:
    (first,), (second,) = library.trajectories(torchvision())
    assert (first.step, first.weights) == (0, "untrained0")
    assert first.weights_hash != second.weights_hash
    assert hash_tensors(first.build().state_dict()) == first.weights_hash


def test_images_enter_as_the_library_itself_prepares_them() -> None:
    from torchvision.models import ResNet18_Weights

    config = torchvision()
    config.image_size = None
    network, stimuli = library.trajectories(config)[0][-1], load(ShapesConfig(size=64), "test")
    expected = ResNet18_Weights.DEFAULT.transforms()(stimuli.image(3))
    assert torch.equal(network.preprocess(stimuli, [3])[0], expected)


def test_unknown_layers_and_models_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'layr1.0.conv1' matches no layer of resnet18: the nearest are layer1.0"):
        library.trajectories(torchvision(layers=["layr1.0.conv1"]))
    config = torchvision()
    config.name = "resnet81"
    with pytest.raises(UserError, match=r"resnet81 is not in torchvision: the nearest are .*resnet18"):
        library.trajectories(config)


WRAPS = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s, "optimizer": {"lr": 1.0}},
    "net": lambda s: {"net": s, "acc": 0.9},
    "model_ema": lambda s: {"model_ema": s},
    "module.": lambda s: {f"module.{n}": v for n, v in s.items()},
    "state_dict, module. and model.": lambda s: {"state_dict": {f"module.model.{n}": v for n, v in s.items()}},
}


def resnet(classes: int = 1000) -> nn.Module:
    config = torchvision()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return library.created(config, classes)


@pytest.mark.parametrize("shape", WRAPS)
def test_checkpoints_are_read_in_the_shapes_that_people_have(shape: str, tmp_path: Path) -> None:
    state = resnet().state_dict()
    torch.save(WRAPS[shape](state), tmp_path / "mine.pth")
    network = library.trajectories(torchvision(checkpoints=[str(tmp_path / "mine.pth")]))[0][-1]
    assert network.weights == "mine.pth"
    assert network.weights_hash == hash_tensors(state)


def test_a_checkpoint_with_another_number_of_classes_is_read(tmp_path: Path) -> None:
    torch.save(resnet(10).state_dict(), tmp_path / "ten.pth")
    network = library.trajectories(torchvision(checkpoints=[str(tmp_path / "ten.pth")]))[0][-1]
    assert network.build()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_a_checkpoint_of_another_architecture_is_refused_with_the_first_keys(tmp_path: Path) -> None:
    torch.save(recipes.build("tiny_vgg", 10, 0).state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"is not a checkpoint of resnet18: it lacks conv1.weight, .* and \d+ more"):
        library.trajectories(torchvision(checkpoints=[str(tmp_path / "vgg.pth")]))


class _Evil:
    def __reduce__(self) -> tuple:
        return print, ("ran code",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": _Evil()}, tmp_path / "evil.pth", pickle_module=pickle)
    with pytest.raises(UserError, match="could run code"):
        library.trajectories(torchvision(checkpoints=[str(tmp_path / "evil.pth")]))
    assert "ran code" not in capsys.readouterr().out


def test_old_names_of_timm_are_followed_to_the_new_ones() -> None:
    config = LibraryConfig(name="tv_resnet34", library=Library.timm, image_size=32, seeds=SeedsConfig([0]))
    ((network,),) = library.trajectories(config)
    assert network.model == "resnet34.tv_in1k"


@pytest.mark.parametrize(("kind", "name"), [(Library.torchvision, "resnet18"), (Library.timm, "resnet10t")])
def test_architectures_of_libraries_are_trained_here_with_the_checkpoints_of_recipes(
    kind: Library, name: str, tmp_path: Path
) -> None:
    training = TrainingConfig(epochs=1, batch_size=64, early_checkpoints=1)
    config = LibraryConfig(name=name, library=kind, train=True, training=training, seeds=SeedsConfig([0]))
    dataset = ShapesConfig(size=16, stimuli=20, train_images=128)
    (run,) = models.trajectories(config, dataset, folder=tmp_path, device=CPU)
    assert [n.step for n in run] == [0, 1, 2]
    assert run[0].is_untrained
    stimuli = load(dataset, "test")
    images = run[-1].preprocess(stimuli, [0, 1])
    assert images.shape == (2, 3, 16, 16)
    assert run[-1].build()(images).shape == (2, len(stimuli.classes))
    assert len({n.weights_hash for n in run}) == 3
    config.weights = ["DEFAULT"]
    with pytest.raises(UserError, match=r"model.train=true trains .* leave out model.checkpoints and model.weights"):
        models.trajectories(config, dataset, folder=tmp_path, device=CPU)
