"""Dynamic pruning of the training images (InfoBatch, Qin et al. 2024, arXiv 2303.04947).

Of the images whose last loss lies below the mean, each epoch drops a share by chance and weighs the
others up, so that the gradient's expectation stays what it was.

Legend: N images, M of them kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class Kept:
    """What one epoch learns from.

    Attributes:
        rows: int64 [M], rising.
        weights: float32 [N], by row.
    """

    rows: Tensor
    weights: Tensor


def everything(count: int) -> Kept:
    return Kept(torch.arange(count), torch.ones(count))


def keep(losses_N: Tensor, share: float, generator: Generator) -> Kept:
    """Drop images below the mean loss, each with probability `share`; others weigh 1/(1-share).

    Args:
        losses_N: Each image's last loss, on the CPU.
        share: 0…1, 1 excluded.
        generator: On the CPU.
    """
    losses = losses_N.double()
    easy_N = losses < losses.mean()
    dropped_N = easy_N & (torch.rand(len(losses), generator=generator) < share)
    weights = torch.where(easy_N, 1 / (1 - share), 1.0).float()
    return Kept((~dropped_N).nonzero().flatten(), weights)


def is_full(epoch: int, epochs: int) -> bool:
    """Whether an epoch, counted from 0, takes every image.

    The first, which has no losses to go by, and the last eighth: its gradient has no noise of
    choice.
    """
    return epoch == 0 or epoch >= epochs - math.ceil(epochs / 8)


@dataclass(frozen=True, eq=False)
class Watch:
    """Weighs the losses of one epoch and notes them.

    Attributes:
        weights: float32 [N], by row, on the device.
        found: float32 [2, N]: each row's losses added up, and how many there were.
    """

    weights: Tensor
    found: Tensor

    @classmethod
    def of(cls, kept: Kept, device: torch.device) -> Watch:
        weights = kept.weights.to(device)
        return cls(weights, weights.new_zeros(2, len(weights)))

    def weigh(self, losses_B: Tensor, rows_B: Tensor) -> Tensor:
        """The losses of a batch of these rows, weighted."""
        noted = losses_B.detach()
        self.found.index_add_(1, rows_B, torch.stack([noted, torch.ones_like(noted)]))
        return losses_B * self.weights[rows_B]

    def last(self, before_N: Tensor) -> Tensor:
        """Every row's last loss: this epoch's, or else the one it had before."""
        losses_N, times_N = self.found
        return torch.where(times_N > 0, losses_N / times_N.clamp(min=1), before_N)
