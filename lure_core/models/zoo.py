"""torchvision's classification models by name, untrained.

torchvision takes over a second to import, so it is loaded when the first of its models is built;
that is why their names stand here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from lure_core.config import InputSpec
from lure_core.errors import ConfigError

CIFAR_STEM_UP_TO = 64
"""Longer side in pixels up to which residual networks and VGGs take the form for small images."""

NAMES = (
    *("alexnet", "googlenet", "inception_v3", "maxvit_t", "mobilenet_v2"),
    *(f"convnext_{size}" for size in ("tiny", "small", "base", "large")),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    *(f"efficientnet_b{size}" for size in range(8)),
    *(f"efficientnet_v2_{size}" for size in "sml"),
    *(f"mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")),
    *("mobilenet_v3_large", "mobilenet_v3_small"),
    *(f"regnet_x_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    *(f"regnet_y_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    "regnet_y_128gf",
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    *("squeezenet1_0", "squeezenet1_1"),
    *(f"swin_{size}" for size in "tsb"),
    *(f"swin_v2_{size}" for size in "tsb"),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)

_SMALLEST = {
    **{"alexnet": 63, "convnext": 32, "densenet": 29, "googlenet": 15, "inception_v3": 75},
    **{"squeezenet1_0": 21, "squeezenet1_1": 17, "vgg": 32},
}
"""Shorter side in pixels, by how the name begins; where none is given, 8 will do."""


def require_sides(name: str, input: InputSpec) -> None:
    """Raise `ConfigError` where torchvision's model of that name takes no such image."""
    height, width = input.height, input.width
    if name.startswith("vit"):
        patch = _patch(name)
        if height != width or height % patch:
            _refuse(name, input, f"square images whose side is a multiple of {patch}")
    if name == "maxvit_t" and (height % 224 or width % 224):
        _refuse(name, input, "sides that are multiples of 224")
    for prefix, smallest in _SMALLEST.items():
        if name.startswith(prefix) and min(height, width) < smallest:
            _refuse(name, input, f"sides of at least {smallest}")


def build(name: str, input: InputSpec, classes: int) -> nn.Module:
    """Torchvision's model; a residual network has the CIFAR stem where the image is small.

    That stem is a 3x3 convolution of stride 1 and no pooling. A grey image gives what the same
    image shown in all three colours would.

    Raises:
        ConfigError: The model takes no image of that size.
    """
    require_sides(name, input)
    torchvision_models = import_module("torchvision.models")
    model: nn.Module = torchvision_models.get_model(
        name, weights=None, num_classes=classes, **_options(name, input)
    )
    if isinstance(model, torchvision_models.ResNet) and is_small(input):
        _take_cifar_stem(model)
    if input.channels == 1:
        _take_grey(model)
    return model


def is_small(input: InputSpec) -> bool:
    return max(input.height, input.width) <= CIFAR_STEM_UP_TO


def _options(name: str, input: InputSpec) -> dict[str, Any]:
    """What some constructors must be told beside the number of classes."""
    if name.startswith("vit"):
        return {"image_size": input.height}
    if name == "maxvit_t":
        return {"input_size": (input.height, input.width)}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}  # their defaults, but for one output
    return {}


def _patch(name: str) -> int:
    return int(name.rsplit("_", 1)[1])


def _refuse(name: str, input: InputSpec, taken: str) -> None:
    found = f"{input.height}x{input.width}"
    raise ConfigError(f"architecture: {name} takes {taken} pixels, not {found}")


def _take_cifar_stem(model: nn.Module) -> None:
    old = model.get_submodule("conv1")
    assert isinstance(old, nn.Conv2d)
    conv = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule("conv1", conv)
    model.set_submodule("maxpool", nn.Identity())


def _take_grey(model: nn.Module) -> None:
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
    first.in_channels = 1
