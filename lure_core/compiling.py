"""A model's call through `torch.compile`, and what compiling cost.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lure_core.errors import ConfigError

_TIMED = 4
"""Steps until all is compiled; on CUDA the second and third record their graph."""


@dataclass(eq=False)
class Compiled:
    """Calls the compiled model on batches of one size, and the model itself on all others.

    One shape, so that nothing is compiled twice for the ragged last batch of an epoch, and so that
    CUDA can replay the step's kernels as one graph. The model's own tensors are used throughout.

    Attributes:
        size: Images of a compiled batch.
    """

    model: nn.Module
    size: int
    fast: Callable[[Tensor], Tensor]
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module, *, size: int, device: torch.device) -> Compiled:
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        return cls(model, size, torch.compile(model, dynamic=False, mode=mode))

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        if len(x_NCHW) != self.size:
            logits: Tensor = self.model(x_NCHW)
            return logits
        return self.fast(x_NCHW)

    @contextmanager
    def timed(self, count: int, device: torch.device) -> Iterator[None]:
        """Around a training step of `count` images: the first few compiled ones are timed.

        Raises:
            ConfigError: torch cannot compile here.
        """
        if count != self.size or len(self.seconds) == _TIMED:
            yield
            return
        _wait(device)
        began = time.perf_counter()
        try:
            yield
        except RuntimeError as fault:
            # Named only where it is needed: to import torch's compiler takes seconds.
            if isinstance(fault, torch._dynamo.exc.TorchDynamoException):
                told = str(fault).partition("\n")[0]
                raise ConfigError(f"recipe.compile: torch cannot compile here: {told}") from fault
            raise
        _wait(device)
        self.seconds.append(time.perf_counter() - began)

    @property
    def overhead_s(self) -> float:
        """What the first steps took beyond the fastest of them."""
        return sum(self.seconds) - len(self.seconds) * min(self.seconds, default=0.0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
