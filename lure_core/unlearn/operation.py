"""One application of a strategy: the edits it makes, what they cost, and the record of both."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lure_core.config import InputSpec
from lure_core.data import Batches
from lure_core.models.cost import forward_flops
from lure_core.types import UnlearnReport


@dataclass
class Operation:
    """Every change of a weight goes through here, so that the record cannot differ from it.

    Attributes:
        names: The parameters that the strategy chooses among, in the order of the report.
        flops: Spent up to now.
        touched: How many entries of each parameter were written.
    """

    model: nn.Module
    fresh_model: nn.Module
    optimizer: Optimizer | None
    names: Sequence[str]
    flops: int = 0
    touched: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    @torch.no_grad()
    def write(self, name: str, values: Tensor, where: Tensor | None = None) -> None:
        """Give a parameter new values (where the mask says so); its optimiser state goes."""
        parameter = self.model.get_parameter(name)
        mask = torch.ones_like(parameter, dtype=torch.bool) if where is None else where
        parameter.copy_(torch.where(mask, values.to(parameter), parameter))
        _forget_state(self.optimizer, parameter, mask)
        self.touched[name] = int(mask.sum())

    def renew(self, name: str, where: Tensor | None = None) -> None:
        """Write the fresh model's values."""
        self.write(name, self.fresh_model.get_parameter(name), where)

    def pay(self, images: int, data: Batches, *, passes: int) -> None:
        """Count forward passes; a backward pass costs two of them."""
        shape = InputSpec(*data.samples.images.shape[1:])
        self.flops += passes * images * forward_flops(self.model, shape)

    def report(
        self,
        strategy: str,
        *,
        threshold: float | None = None,
        ties: int = 0,
        subset_images: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> UnlearnReport:
        sizes = {name: self.model.get_parameter(name).numel() for name in self.names}
        reset = {name: self.touched.get(name, 0) for name in sizes}
        return UnlearnReport(
            strategy,
            counted=sum(sizes.values()),
            reset=sum(reset.values()),
            layer_share={name: reset[name] / size for name, size in sizes.items()},
            threshold=threshold,
            ties=ties,
            subset_images=subset_images,
            seconds=time.perf_counter() - self.began,
            flops=self.flops,
            details=dict(details or {}),
        )


def _forget_state(optimizer: Optimizer | None, parameter: nn.Parameter, mask: Tensor) -> None:
    if optimizer is None:
        return
    for value in optimizer.state.get(parameter, {}).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            value.masked_fill_(mask, 0)
