"""Pictures with what natural ones have: soft shading, sharp edges, some texture, mid tones."""

from __future__ import annotations

import torch
from torch import Tensor

from lure_core.rng import generator


def create_pictures(count: int, *, side: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    """uint8 [count, channels, side, side]: discs of one colour over a gradient, fine stripes."""
    draws = generator(seed)
    line = torch.linspace(0, 1, side)
    down, across = line[:, None], line[None, :]
    tilt = torch.rand(count, channels, 1, 1, generator=draws)
    x = 0.25 + 0.3 * (tilt * down + (1 - tilt) * across)
    for _ in range(4):
        place = torch.rand(count, 2, 1, 1, 1, generator=draws)
        reach = 0.1 + 0.2 * torch.rand(count, 1, 1, 1, generator=draws)
        colour = 0.1 + 0.7 * torch.rand(count, channels, 1, 1, generator=draws)
        inside = (down - place[:, 0]) ** 2 + (across - place[:, 1]) ** 2 < reach**2
        x = torch.where(inside, colour, x)
    x = x + 0.06 * torch.sin(40 * across + 25 * down)
    return x.mul(255).round().clamp(0, 255).to(torch.uint8)
