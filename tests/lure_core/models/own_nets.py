"""Factories as a user would write them, good and bad; named `tests.lure_core.models.own_nets:…`."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import VisionTransformer

from lure_core.config import InputSpec

NUMBER = 3
HERE = __name__


def small_vit(input: InputSpec, classes: int) -> nn.Module:
    """Two blocks of two heads over 4x4 patches; stands for the large ones in quick tests."""
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
    return VisionTransformer(input.height, patch_size=4, num_classes=classes, **sizes)


def conv(input: InputSpec, classes: int) -> nn.Module:
    layers = [nn.Conv2d(input.channels, 4, 3), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4, classes))


def too_narrow(input: InputSpec, classes: int) -> nn.Module:
    return conv(input, classes - 1)


def two_heads(input: InputSpec, classes: int) -> nn.Module:
    """More depends on the number of classes than the last layer."""
    layers = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(input.channels, classes)]
    return nn.Sequential(*layers, nn.Linear(classes, classes))


def counted(input: InputSpec, classes: int) -> nn.Module:
    """The number of classes stands in no weight's shape, yet the answer's shape is made of it."""
    return nn.Sequential(conv(input, classes), nn.Unflatten(1, (classes, 1)), nn.Flatten())


def two_at_most(input: InputSpec, classes: int) -> nn.Module:
    if classes > 2:
        raise ValueError("two classes at most")
    return conv(input, classes)


def no_model(input: InputSpec, classes: int) -> str:
    return "a net"


def too_few_arguments() -> nn.Module:
    return nn.Flatten()


class Pair(nn.Module):
    def __init__(self, input: InputSpec, classes: int) -> None:
        super().__init__()
        self.net = conv(input, classes)

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x_NCHW), x_NCHW
