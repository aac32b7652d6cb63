"""Default layers of every family of timm and torchvision: from the first convolution or embedding to the head.

Layers are looked up without weights (on the meta device); a network of each kind is extracted and scored in earnest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from convergence.activations.extract import extract
from convergence.activations.loading import Loader
from convergence.alignment.score import score
from convergence.models.layers import Layer
from convergence.models.network import Network, describe
from convergence.models.preprocess import PixelPreprocess
from convergence.models.skeleton import without_memory
from convergence.stimuli.load import load
from convergence.stimuli.options import ShapesConfig
from convergence.system import torchvision_ops

torchvision_ops.ensure()

pytestmark = pytest.mark.filterwarnings("ignore")

# The smallest of each of timm's modules, and its own image size where that is not 224.
TIMM = """
beit_base_patch16_224 halonet_h1:256 test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 test_convnext
cpubone_nano crossvit_tiny_240:240 cs3darknet_focus_s cspnext_tiny davit_tiny deit_tiny_patch16_224
deit_tiny_distilled_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0
test_efficientnet efficientvim_m1 efficientvit_b0 efficientvit_m0 vit_tiny_patch16_dinov3_qkvb fasternet_t0 fastvit_t8
focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 hrnet_w18_small iformer_t
inception_next_atto inception_v3:299 inception_v4:299 inception_resnet_v2:299 lcnetv2_small levit_128s lowformer_b0
test_mambaout test_coatnet coatnet_nano_rw_224 maxvit_pico_rw_256:256 poolformerv2_s12 caformer_s18 gmlp_ti16_224
mixer_s32_224 resmlp_12_224 mobilenetv3_small_050 mobilenetv4_hybrid_medium mobilevit_xxs:256 mobilevitv2_050:256
mvitv2_tiny naflexvit_base_patch16_gap nest_tiny nextvit_small test_nfnet pit_ti_224 pvt_v2_b0 rdnet_tiny regnetx_002
repghostnet_050 repvit_m1 res2next50 resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 shvit_s1
skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256:256 swinv2_cr_tiny_224
tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny test_vit vit_tiny_r_s16_p8_224
test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw legacy_xception
xception41p:299 xcit_nano_12_p16_224 lambda_resnet26t:256 botnet26t_256:256
"""
TORCHVISION = """
alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3:299 maxvit_t mnasnet0_5 mobilenet_v2
mobilenet_v3_small resnet18 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_0 swin_t swin_v2_t vgg11
vit_b_32 wide_resnet50_2
"""
# Not here: networks of more than 80 million weights or 512 pixels whose build alone takes seconds (csatv2,
# deepseek_vit, gemma4_vit, qwen3_vit, sam2_hiera, mobilenetv5, nasnet, pnasnet), and sequencer, whose recurrence does;
# torchvision's regnet, which can't be built without weights (timm's is here).


def _named(text: str, library: str) -> list[tuple[str, str, int]]:
    parts = [word.partition(":") for word in text.split()]
    return [(library, name, int(size or 224)) for name, _, size in parts]


FAMILIES = [*_named(TIMM, "timm"), *_named(TORCHVISION, "torchvision")]


def build(library: str, name: str) -> nn.Module:
    if library == "timm":
        import timm

        return timm.create_model(name).eval()
    from torchvision import models

    more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return models.get_model(name, weights=None, **more).eval()


@contextmanager
def noted(model: nn.Module) -> Iterator[list[nn.Module]]:
    """The convolutions and linear layers that give a row for each of two images, as a plain hook sees them."""
    order: list[nn.Module] = []

    def hook(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if len(output) == 2:
            order.append(module)

    plain = (nn.Conv1d, nn.Conv2d, nn.Linear)
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, plain)]
    yield order
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(("library", "name", "size"), FAMILIES, ids=[f"{kind}-{name}" for kind, name, _ in FAMILIES])
def test_depth_0_is_the_first_layer_and_depth_1_the_head_or_the_last_block(library: str, name: str, size: int) -> None:
    size = 160 if name.startswith("test_") else size
    with without_memory():
        model = build(library, name)
    with torch.device("meta"), noted(model) as order:
        layers, _ = describe(model, torch.zeros(2, 3, size, size), None, None, name)
    assert len(layers) >= 7
    tapped = [model.get_submodule(label.split(":")[0]) for label in layers]
    assert order[0] in set(tapped[0].modules())
    assert order[-1] in set(tapped[-1].modules())
    assert not any(a is not b and a in set(b.modules()) for a in tapped[:1] for b in tapped), "a layer inside a layer"
    for layer in layers.values():
        expected = {1: {"center"}, 2: {"cls", "mean"}}.get(len(layer.shape), {"center"})
        assert layer.units in expected
        assert math.prod(layer.shape) > 0


def network(name: str, image_size: int | None, **more: object) -> Network:
    import timm

    def make() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return timm.create_model(name, num_classes=10, **more).eval()

    size = image_size or 64
    layers, units = describe(make(), torch.zeros(1, 3, size, size), None, None, name)
    return Network(name, "untrained0", 0, 0, 0.0, name, layers, units, PixelPreprocess(size), None, make)


# One of each kind, at a reduced size; the units that its layers are expected to have.
SCORED = [
    ("test_resnet", 64, {}, {"center"}),
    ("test_vit", 64, {"img_size": 64}, {"center", "cls"}),
    ("test_vit3", 64, {"img_size": 64}, {"center", "mean"}),
    ("deit_tiny_distilled_patch16_224", 64, {"img_size": 64, "depth": 2}, {"center", "cls"}),
    ("test_coatnet", 64, {"img_size": 64}, {"center"}),
    ("cait_xxs24_224", 64, {"img_size": 64, "depth": 2}, {"center", "cls", "mean"}),
    ("xcit_nano_12_p16_224", 64, {"img_size": 64, "depth": 2}, {"center", "cls", "mean"}),
    ("convit_tiny", 64, {"img_size": 64, "depth": 3, "local_up_to_layer": 2}, {"center", "cls", "mean"}),
    ("volo_d1_224", 64, {"img_size": 64}, {"center", "cls", "mean"}),
    ("tnt_s_legacy_patch16_224", 64, {"img_size": 64, "depth": 2}, {"center", "cls"}),
    ("mobilevit_xxs", 64, {}, {"center"}),
    ("efficientformer_l1", 224, {}, {"center", "mean"}),
    ("mixer_s32_224", 64, {"img_size": 64}, {"center", "mean"}),
    ("test_mambaout", 64, {}, {"center"}),
]


@pytest.mark.parametrize(("name", "size", "more", "units"), SCORED, ids=[row[0] for row in SCORED])
def test_every_kind_extracts_and_scores_by_default(
    name: str, size: int, more: dict, units: set[str], tmp_path: Path
) -> None:
    stimuli = load(ShapesConfig(size=size, stimuli=8), "test")
    net = network(name, size, **more)
    assert {layer.units for layer in net.layers.values()} == units
    cpu = torch.device("cpu")
    found = extract(net, Loader(net.preprocess, stimuli, tmp_path, 8, 0, cpu))
    assert found.layers == {label: width(layer) for label, layer in net.layers.items()}
    pairs = [(label, label) for label in (next(iter(net.layers)), next(reversed(net.layers)))]
    table = score(found, found, pairs, metrics=["procrustes"], folds=2, memory_gb=1)
    assert len(table) == 8
    scores = table.score.dropna()  # some heads begin with weights of zero: all their units are dead
    assert len(scores) >= 4
    assert scores.between(-1, 1.000001).all()


def width(layer: Layer) -> int:
    return layer.shape[-1] if len(layer.shape) == 2 else layer.shape[0]
