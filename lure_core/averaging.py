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

    BatchNorm's running statistics are averaged like the weights. They belong to them: statistics
    that are copied from the raw weights are those of another function, and to estimate them anew
    would cost a pass over the data before every look at the select images.
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
        own, raw = _tensors(self.model), _tensors(model)
        smooth = [at for at, tensor in enumerate(own) if tensor.is_floating_point()]
        torch._foreach_lerp_([own[at] for at in smooth], [raw[at] for at in smooth], 1 - kept)
        for mine, theirs in zip(own, raw, strict=True):
            if not mine.is_floating_point():  # how many batches were seen
                mine.copy_(theirs)

    def load(self, tensors: Mapping[str, Tensor], *, steps: int) -> None:
        self.model.load_state_dict(tensors)
        self.steps = steps


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
