"""What every strategy is: the one way to apply it, and what `auto` asks of its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Generator, nn
from torch.optim import Optimizer

from lure_core.data import Batches
from lure_core.types import UnlearnReport

Probe = Callable[[nn.Module], tuple[float, int]]
"""Relearns the copy it is given for a short while, and may spoil it; returns the hold-out loss
that it reached and the floating-point operations that this took."""


class Strategy(Protocol):
    """One way to forget."""

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        """Change the model in place; the same for the same generator.

        Args:
            model: The last version, on its device; dtype and memory layout are kept.
            fresh_model: The same architecture from another seed; new values come from it. It is
                left as it is.
            data: Training images, unaugmented, on any device: those of the new chunk; for
                `lure-official` and `dash` everything replayed, chunk by chunk.
            generator: On the CPU; the only source of chance.
            optimizer: Where given, what it remembers of the changed weights is set to zero.
        """
        ...
