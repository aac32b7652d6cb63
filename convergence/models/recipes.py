"""Architectures that are trained here, from a seed; the small ones in a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convergence.models.architecture import Architecture, normalisation
from convergence.models.cifar_resnets import CifarResNet
from convergence.models.images import common_size, sample
from convergence.models.options import RecipeConfig
from convergence.models.preprocess import PixelPreprocess, Preprocess, for_images
from convergence.models.seeded import seeded
from convergence.stimuli.base import Stimuli
from convergence.stimuli.options import DatasetConfig
from convergence.system.errors import UserError

_CLASSES = 10  # outputs of an untrained network that is made without a data set


class _Residual(nn.Module):
    """Two 3 × 3 convolutions and a shortcut (He et al. 2016, the basic block)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class TinyResNet(nn.Module):
    """Seven convolutions of 16 to 64 channels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _Residual(16, 16, 1)
        self.layer2 = _Residual(16, 32, 2)
        self.layer3 = _Residual(32, 64, 2)
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(dim=(2, 3)))


class TinyVGG(nn.Module):
    """Six plain convolutions (Simonyan & Zisserman 2015), another architecture to compare across."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = 3
        for width in (16, 16, 0, 32, 32, 0, 64, 64):
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(width_in, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            width_in = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TinyViT(nn.Module):
    """Four blocks of width 64 over 8 × 8 patches (Dosovitskiy et al. 2021), with a class token."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 64, 4, 4)
        self.cls = nn.Parameter(torch.zeros(1, 1, 64))
        self.position = nn.Parameter(torch.randn(1, 64, 8, 8) * 0.02)
        self.blocks = nn.Sequential(*(_Block(64, 4) for _ in range(4)))
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x)
        x = x + F.interpolate(self.position, size=x.shape[-2:], mode="bilinear", align_corners=False)
        x = x.flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1))
        return self.head(self.norm(x)[:, 0])


RECIPES: dict[str, Callable[[int], nn.Module]] = {
    "tiny_resnet": TinyResNet,
    "tiny_vgg": TinyVGG,
    "tiny_vit": TinyViT,
    **{f"cifar_resnet{6 * blocks + 2}": partial(CifarResNet, blocks) for blocks in (3, 5, 7, 9)},
}


def create(name: str, classes: int) -> nn.Module:
    """An untrained network, from torch's random numbers.

    Raises
    ------
    UserError
        If there is no recipe of that name.
    """
    if name not in RECIPES:
        raise UserError(f"model.name={name} is no recipe: choose from {', '.join(RECIPES)}.")
    return RECIPES[name](classes)


def build(name: str, classes: int, seed: int) -> nn.Module:
    """An untrained network whose weights depend on the seed alone.

    Raises
    ------
    UserError
        If there is no recipe of that name.
    """
    with seeded(seed):
        return create(name, classes)


def architecture(config: RecipeConfig, dataset: DatasetConfig) -> Architecture:
    """The architecture of a recipe; images enter at their own size, and at 64 pixels where they have several."""

    def enter(stimuli: Stimuli) -> tuple[Preprocess, Tensor]:
        mean, std = normalisation(config, PixelPreprocess.mean, PixelPreprocess.std)
        size = config.image_size or (common_size(stimuli) if stimuli.pixels([0]) is None else None)
        plain = for_images(stimuli, size, dataset.transform)
        preprocess = replace(plain, mean=mean, std=std)
        side = preprocess.size or preprocess.pixels(stimuli, [0]).shape[-1]
        return preprocess, torch.zeros(1, 3, side, side)

    return Architecture(
        config=config,
        create=lambda classes: create(config.name, classes or _CLASSES),
        enter=lambda model, weights: enter(sample(dataset)),
        enter_trained=enter,
    )
