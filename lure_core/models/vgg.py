"""VGG with batch normalisation (Simonyan & Zisserman 2015) for small images.

The convolutions are torchvision's, under its names and in its initialisation. Behind them stand a
global average and one linear layer, as in the published CIFAR versions, in place of the three
linear layers that hold most of the parameters at 224 px. A pooling that would leave less than one
pixel is left out, so any side from 8 px will do.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from lure_core.config import InputSpec

_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)


def vgg(input: InputSpec, classes: int, *, depth: int) -> nn.Module:
    model = VGG(input, classes, depth)
    for module in model.features.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.normal_(model.classifier.weight, std=0.01)
    nn.init.zeros_(model.classifier.bias)
    return model


FACTORIES = {f"vgg{depth}_bn": partial(vgg, depth=depth) for depth in _BLOCKS}


class VGG(nn.Module):
    def __init__(self, input: InputSpec, classes: int, depth: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        inside, side = input.channels, min(input.height, input.width)
        for count, width in zip(_BLOCKS[depth], _WIDTHS, strict=True):
            for _ in range(count):
                conv = nn.Conv2d(inside, width, kernel_size=3, padding=1)
                self.features.extend([conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
                inside = width
            # Kept as a layer that does nothing, so that the names are torchvision's at every size.
            self.features.append(nn.MaxPool2d(2) if side > 1 else nn.Identity())
            side //= 2
        self.classifier = nn.Linear(inside, classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x_NCHW).mean(dim=(2, 3)))
        return logits
