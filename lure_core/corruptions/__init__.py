"""The 15 common corruptions of CIFAR-10-C and ImageNet-C, on tensors.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (arXiv 1903.12261), with the constants of their code. What differs from it:

- frost is made, not photographed (see `weather.frost`);
- zooming is continuous and about the centre: theirs rounds to whole pixels, which at 8 px would
  do nothing;
- the disk of "defocus-blur" keeps the picture's brightness, where theirs may add 1 %;
- pixels are rounded where theirs are cut off, and layers between two steps are not rounded;
- the severities of a family share their random draws, so that a difference between two of them is
  the severity's and not the draw's.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import torch
from torch import Generator, Tensor

from lure_core.corruptions import blur, digital, noise, weather
from lure_core.corruptions.draws import generators
from lure_core.corruptions.strengths import SEVERITIES, Strength, strength_of
from lure_core.errors import ConfigError

__all__ = ["FAMILIES", "SEVERITIES", "corrupt"]

Corruption = Callable[[Tensor, Strength, Sequence[Generator]], Tensor]
"""Takes float images on a scale of 0…1, a strength and one generator an image."""

_CORRUPTIONS: MappingProxyType[str, Corruption] = MappingProxyType(
    {
        "gaussian-noise": noise.gaussian,
        "shot-noise": noise.shot,
        "impulse-noise": noise.impulse,
        "defocus-blur": blur.defocus,
        "glass-blur": blur.glass,
        "motion-blur": blur.motion,
        "zoom-blur": blur.zoom,
        "snow": weather.snow,
        "frost": weather.frost,
        "fog": weather.fog,
        "brightness": weather.brightness,
        "contrast": digital.contrast,
        "elastic-transform": digital.elastic,
        "pixelate": digital.pixelate,
        "jpeg-compression": digital.jpeg,
    }
)
FAMILIES = tuple(_CORRUPTIONS)


def corrupt(
    images_NCHW: Tensor,
    family: str,
    severity: int,
    *,
    seed: int,
    indices: Sequence[int] | None = None,
) -> Tensor:
    """The images corrupted: same shape, dtype and device.

    Each image draws from `seed`, `family` and its own index: it is corrupted alike whatever the
    batch it comes in. All draws are made on the CPU, so that a seed means the same everywhere; two
    devices may still round a pixel differently.

    Args:
        images_NCHW: uint8, 1 or 3 channels, sides of at least 8 px. Up to 64 px the constants of
            CIFAR-10-C hold, above those of ImageNet-C.
        family: One of `FAMILIES`.
        severity: 1…5.
        seed: Of all draws.
        indices: What tells each image from the others, such as its place in the data set; None:
            its place in the batch.

    Raises:
        ConfigError: No such family or severity.
    """
    if family not in _CORRUPTIONS:
        raise ConfigError(f"corruption: {family!r} is none of {', '.join(FAMILIES)}")
    if severity not in SEVERITIES:
        raise ConfigError(f"corruption: the severity is one of {SEVERITIES}, not {severity!r}")
    assert images_NCHW.dtype == torch.uint8
    if not len(images_NCHW):
        return images_NCHW.clone()
    drawn = generators(seed, family, range(len(images_NCHW)) if indices is None else indices)
    assert len(drawn) == len(images_NCHW)
    strength = strength_of(family, severity, side=max(images_NCHW.shape[2:]))
    corrupted = _CORRUPTIONS[family](images_NCHW.float() / 255, strength, drawn)
    return corrupted.mul(255).round_().clamp_(0, 255).to(torch.uint8)
