"""An average of the weights along the training, which often is the better model.

Exponential moving average with a warm-up of its decay, as in TensorFlow's
`ExponentialMovingAverage` and timm's `ModelEmaV3`: in a short training the start must fade, too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Average:
    """The averaged model and the number of steps in it.

    Only the weights are averaged: BatchNorm's running statistics must be estimated anew before it
    answers. Measured on digits (resnet20s after three epochs, test accuracy): estimated on 128
    images 92 %, copied from the raw weights 74 %, averaged like the weights 56 %.
    """

    model: nn.Module
    steps: int = 0

    @classmethod
    def of(cls, model: nn.Module) -> Average:
        """Starting where the model stands now."""
        return cls(copy.deepcopy(model).requires_grad_(False).eval())

    @torch.no_grad()
    def follow(self, model: nn.Module, *, decay: float) -> None:
        """Move by 1 - min(decay, (1 + t) / (10 + t)) towards the model after step t."""
        kept = min(decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        torch._foreach_lerp_([*self.model.parameters()], [*model.parameters()], 1 - kept)

    @torch.no_grad()
    def take_buffers(self, model: nn.Module) -> None:
        """Copy what is no weight."""
        for own, raw in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(raw)

    def load(self, tensors: Mapping[str, Tensor], *, steps: int) -> None:
        self.model.load_state_dict(tensors)
        self.steps = steps
