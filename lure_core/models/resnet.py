"""Residual networks (He et al. 2015) with the CIFAR stem: a 3x3 convolution and no pooling.

`resnet18` has torchvision's layers, names and initialisation behind that stem; `resnet20s` to
`resnet110s` are the thin networks of the paper's section 4.2 with parameter-free shortcuts
(option A), initialised as the published LURE code does. All end in a global average, so they take
any side from 8 px.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from lure_core.config import InputSpec


def resnet18(input: InputSpec, classes: int) -> nn.Module:
    widths = (64, 128, 256, 512)
    model = ResNet(input.channels, classes, widths=widths, blocks=2, shortcut=Projection)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def thin(input: InputSpec, classes: int, *, depth: int) -> nn.Module:
    """A network of 6n + 2 weighted layers: three stages of n blocks, 16 to 64 channels wide."""
    widths, blocks = (16, 32, 64), (depth - 2) // 6
    model = ResNet(input.channels, classes, widths=widths, blocks=blocks, shortcut=Padding)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return model


THIN = {f"resnet{depth}s": partial(thin, depth=depth) for depth in (20, 32, 44, 56, 110)}


class Projection(nn.Sequential):
    """Option B: a 1x1 convolution."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        conv = nn.Conv2d(inside, outside, kernel_size=1, stride=stride, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outside))


class Padding(nn.Module):
    """Option A: every other pixel; the new channels are zero."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.added_each_side = (outside - inside) // 2

    def forward(self, x_NCHW: Tensor) -> Tensor:
        thinned = x_NCHW[:, :, :: self.stride, :: self.stride]
        return F.pad(thinned, (0, 0, 0, 0, self.added_each_side, self.added_each_side))


class BasicBlock(nn.Module):
    def __init__(self, inside: int, outside: int, shortcut: type[Projection | Padding]) -> None:
        super().__init__()
        stride = 1 if inside == outside else 2
        self.conv1 = _conv3x3(inside, outside, stride)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = _conv3x3(outside, outside)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample = None if inside == outside else shortcut(inside, outside, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x_NCHW)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x_NCHW if self.downsample is None else self.downsample(x_NCHW)
        return F.relu(out, inplace=True)


class ResNet(nn.Module):
    """A stem and stages `layer1`…; each stage after the first halves the side."""

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int],
        blocks: int,
        shortcut: type[Projection | Padding],
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, widths[0])
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.stages = [f"layer{i}" for i in range(1, len(widths) + 1)]
        insides = [widths[0], *widths[:-1]]
        for name, inside, outside in zip(self.stages, insides, widths, strict=True):
            first = BasicBlock(inside, outside, shortcut)
            rest = [BasicBlock(outside, outside, shortcut) for _ in range(blocks - 1)]
            self.add_module(name, nn.Sequential(first, *rest))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x_NCHW)), inplace=True)
        for name in self.stages:
            out = self.get_submodule(name)(out)
        logits: Tensor = self.fc(out.mean(dim=(2, 3)))
        return logits


def _conv3x3(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel_size=3, stride=stride, padding=1, bias=False)
