"""One application of a strategy: the edits it makes, what they cost, and the record of both."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lure_core import snip
from lure_core.batchnorm import estimate_batchnorm
from lure_core.config import InputSpec
from lure_core.data import Batches
from lure_core.errors import ConfigError
from lure_core.models.cost import forward_flops
from lure_core.types import UnlearnReport


@dataclass
class Operation:
    """Every change of a weight goes through here, so that the record cannot differ from it.

    Attributes:
        names: The parameters that the strategy chooses among, in the order of the report.
        flops: Spent up to now.
        touched: How many entries of each parameter were written.
        picked: Which entries, for parameters of which only some were.
    """

    model: nn.Module
    fresh_model: nn.Module
    optimizer: Optimizer | None
    names: Sequence[str]
    flops: int = 0
    touched: dict[str, int] = field(default_factory=dict)
    picked: dict[str, Tensor] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    _image_flops: int | None = None

    @classmethod
    def on_weights(
        cls, model: nn.Module, fresh_model: nn.Module, optimizer: Optimizer | None
    ) -> Self:
        """Among the convolution and linear weights.

        Raises:
            ConfigError: The model has none: the strategy would do nothing.
        """
        names = snip.weight_names(model)
        if not names:
            kind = type(model).__name__
            raise ConfigError(
                f"architecture: {kind} has no trainable convolution or linear weight for the "
                "strategy to change; choose warm, scratch or shrink-perturb"
            )
        return cls(model, fresh_model, optimizer, names)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What the strategy chooses among, by name."""
        return {name: self.model.get_parameter(name).detach() for name in self.names}

    def share(self, fraction: float) -> int:
        """That share of all counted weights, as a whole number (the paper's k)."""
        return round(fraction * sum(p.numel() for p in self.parameters.values()))

    @torch.no_grad()
    def write(self, name: str, values: Tensor, where: Tensor | None = None) -> None:
        """Give a parameter new values (where the mask says so); its optimiser state goes."""
        parameter = self.model.get_parameter(name)
        mask = torch.ones_like(parameter, dtype=torch.bool) if where is None else where
        parameter.copy_(torch.where(mask, values.to(parameter), parameter))
        _forget_state(self.optimizer, parameter, mask)
        self.touched[name] = int(mask.sum())
        if where is not None:
            self.picked[name] = where

    def renew(self, name: str, where: Tensor | None = None) -> None:
        """Write the fresh model's values."""
        self.write(name, self.fresh_model.get_parameter(name), where)

    def reset(self, chosen: snip.Chosen) -> None:
        """Write the fresh model's values wherever a weight was chosen."""
        for name, mask in chosen.masks.items():
            self.renew(name, mask)

    @torch.no_grad()
    def renew_buffers(self) -> int:
        """Take the fresh model's buffers, BatchNorm's statistics among them; looks at no image."""
        fresh = dict(self.fresh_model.named_buffers())
        for name, buffer in self.model.named_buffers():
            buffer.copy_(fresh[name])
        return 0

    def settle(self, images: Batches) -> int:
        """Estimate BatchNorm's statistics anew on these images; gives how many were looked at."""
        seen = estimate_batchnorm(self.model, images)
        self.pay(seen, images, passes=1)
        return seen

    def pay(self, images: int, data: Batches, *, passes: int) -> None:
        """Count forward passes; a backward pass costs two of them."""
        if images and self._image_flops is None:
            shape = InputSpec(*data.samples.images.shape[1:])
            self._image_flops = forward_flops(self.model, shape)
        self.flops += passes * images * (self._image_flops or 0)

    def report(
        self,
        strategy: str,
        *,
        chosen: snip.Chosen | None = None,
        subset_images: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> UnlearnReport:
        """The record; with a mask where single weights were chosen."""
        sizes = {name: parameter.numel() for name, parameter in self.parameters.items()}
        reset = {name: self.touched.get(name, 0) for name in sizes}
        return UnlearnReport(
            strategy,
            counted=sum(sizes.values()),
            reset=sum(reset.values()),
            layer_share={name: reset[name] / size for name, size in sizes.items()},
            sizes=sizes,
            threshold=chosen.threshold if chosen else None,
            ties=chosen.ties if chosen else 0,
            subset_images=subset_images,
            seconds=time.perf_counter() - self.began,
            flops=self.flops,
            details=dict(details or {}),
            mask=self._mask() if chosen else None,
        )

    def _mask(self) -> npt.NDArray[np.uint8]:
        """One bit for each counted weight, in the order of the names, eight to a byte."""
        none = ((n, torch.zeros_like(p, dtype=torch.bool)) for n, p in self.parameters.items())
        masks = [self.picked.get(name, zeros).flatten().cpu() for name, zeros in none]
        return np.packbits(torch.cat(masks).numpy())


def _forget_state(optimizer: Optimizer | None, parameter: nn.Parameter, mask: Tensor) -> None:
    if optimizer is None:
        return
    for value in optimizer.state.get(parameter, {}).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            value.masked_fill_(mask, 0)
