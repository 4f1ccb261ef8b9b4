"""Training or evaluation mode, borrowed and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def moded(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Every module in that mode; afterwards each in the one it had."""
    modes = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
