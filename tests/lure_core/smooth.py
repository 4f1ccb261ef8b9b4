"""A small net without a kink, so that rounding stays rounding.

A ReLU whose input is zero but for rounding switches its gradient on or off: from that step on two
trainings that add in another order part, by a thousandth of the loss and more. Processes that
train together do so as often as one process with another number of threads.
"""

from __future__ import annotations

from torch import nn

from lure_core.config import InputSpec

NAME = f"{__name__}:net"


def net(input: InputSpec, classes: int) -> nn.Module:
    """Three convolutions with BatchNorm and GELU, the middle one at half the size."""
    layers: list[nn.Module] = []
    sizes = [(input.channels, 12, 1), (12, 16, 2), (16, 16, 1)]
    for taken, given, stride in sizes:
        layers.append(nn.Conv2d(taken, given, 3, stride=stride, padding=1, bias=False))
        layers += [nn.BatchNorm2d(given), nn.GELU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, classes))
