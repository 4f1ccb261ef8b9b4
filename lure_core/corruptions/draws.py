"""Random draws of a batch, each image from its own generator.

All on the CPU; whoever uses a draw moves it to the images' device. Legend: N images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor

from lure_core import rng


def generators(seed: int, name: str, indices: Iterable[int]) -> list[Generator]:
    """One generator an image, told apart by the image's index and by what it is for."""
    return [rng.generator(rng.derive_seed(seed, index, name)) for index in indices]


def normal(by: Sequence[Generator], *shape: int) -> Tensor:
    """Standard normal, float32 [N, *shape]."""
    drawn = torch.empty(len(by), *shape)
    for row, generator in zip(drawn, by, strict=True):
        row.normal_(generator=generator)
    return drawn


def uniform(by: Sequence[Generator], *shape: int) -> Tensor:
    """Evenly in [0, 1), float32 [N, *shape]."""
    drawn = torch.empty(len(by), *shape)
    for row, generator in zip(drawn, by, strict=True):
        row.uniform_(generator=generator)
    return drawn


def poisson(by: Sequence[Generator], rates: Tensor) -> Tensor:
    """Counts of these mean rates, float32 of their shape [N, …]."""
    pairs = zip(rates.cpu(), by, strict=True)
    return torch.stack([torch.poisson(rate, generator=generator) for rate, generator in pairs])
