"""Noise of sensors: too little light, too few photons, dead pixels.

Legend: N images, C channels, H height, W width; images are float32 on a scale of 0…1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor

from lure_core.corruptions import draws
from lure_core.corruptions.strengths import Strength


def gaussian(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """Adds normal noise of this standard deviation to every value."""
    (deviation,) = strength
    return x_NCHW + deviation * draws.normal(by, *x_NCHW.shape[1:]).to(x_NCHW.device)


def shot(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """Counts photons, so many where the picture is white."""
    (photons,) = strength
    return draws.poisson(by, x_NCHW * photons).to(x_NCHW.device) / photons


def impulse(x_NCHW: Tensor, strength: Strength, by: Sequence[Generator]) -> Tensor:
    """Salt and pepper: this share of the values becomes 0 or 1, each as often."""
    (share,) = strength
    drawn = draws.uniform(by, 2, *x_NCHW.shape[1:]).to(x_NCHW.device)
    hit_NCHW, salt_NCHW = drawn[:, 0] < share, drawn[:, 1] < 0.5
    return x_NCHW.where(~hit_NCHW, salt_NCHW.to(x_NCHW.dtype))
