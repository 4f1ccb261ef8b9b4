"""Fully connected networks, the flattened image first; no normalisation."""

from __future__ import annotations

from torch import nn

from lure_core.config import InputSpec


def mlp(input: InputSpec, classes: int) -> nn.Module:
    """Two hidden layers of 100 with ReLU, in PyTorch's own initialisation."""
    pixels = input.channels * input.height * input.width
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 100),
        nn.ReLU(),
        nn.Linear(100, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )
