"""FIRE: the nearest weights of even strength in every direction.

Legend: B matrices, O outputs, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer

from lure_core import snip
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.types import UnlearnReport
from lure_core.unlearn.operation import Operation
from lure_core.unlearn.subset import draw

STEPS = 10


@dataclass(frozen=True)
class Fire:
    """Frobenius-isometry re-initialisation (Han et al. 2026, arXiv 2602.08040).

    Every linear weight, and every spatial tap of a convolution, becomes nearly orthogonal by ten
    Newton-Schulz steps: the nearest isometry. A group of a convolution and each of attention's
    three joint projections is a matrix of its own; a depthwise kernel is none, and stays.

    `scale` "paper" multiplies by √(O / I) / taps; "init-norm" gives each weight the norm that it
    has in the fresh model, or leaves it its own where that is zero. BatchNorm's parameters stay,
    its statistics are estimated anew.
    """

    settings: Unlearn

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        operation = Operation.on_weights(model, fresh_model, optimizer)
        kept = []
        for name, layer in snip.weights(model).items():
            values = self._isometric(operation, name, layer)
            if values is None:
                kept.append(name)
            else:
                operation.write(name, values)
        seen = operation.settle(draw(data, self.settings, generator)) if operation.touched else 0
        details = {"scale": self.settings.scale, "steps": STEPS, "kept": kept}
        return operation.report("fire", subset_images=seen, details=details)

    @torch.no_grad()
    def _isometric(self, operation: Operation, name: str, layer: nn.Module) -> Tensor | None:
        """New values of a weight; None where it has no direction to even out."""
        old = operation.model.get_parameter(name)
        matrices_BOI = split(old, layer)
        _, outputs, inputs = matrices_BOI.shape
        if outputs == inputs == 1 or not bool(old.any()):
            return None
        even_BOI = newton_schulz(matrices_BOI)
        operation.flops += newton_schulz_flops(matrices_BOI)
        if self.settings.scale == "paper":
            taps = old[0, 0].numel() if isinstance(layer, _ConvNd) else 1
            return join(even_BOI * (math.sqrt(outputs / inputs) / taps), old, layer)
        norm = operation.fresh_model.get_parameter(name).float().norm().to(old.device)
        wanted = torch.where(norm > 0, norm, old.float().norm())
        return join(even_BOI * (wanted / even_BOI.norm()), old, layer)


def newton_schulz(matrices_BOI: Tensor) -> Tensor:
    """X ← 1.5 X - 0.5 X Xᵀ X from X / ‖X‖: singular values rise towards 1, zero ones stay."""
    wide = matrices_BOI.shape[1] < matrices_BOI.shape[2]
    x = matrices_BOI.mT if wide else matrices_BOI  # the smaller square is the cheaper one
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    for _ in range(STEPS):
        x = 1.5 * x - 0.5 * x @ (x.mT @ x)
    even_BOI: Tensor = x.mT if wide else x
    return even_BOI


def newton_schulz_flops(matrices_BOI: Tensor) -> int:
    """Two products a step, two operations a multiply-add."""
    count, outputs, inputs = matrices_BOI.shape
    return count * STEPS * 2 * 2 * outputs * inputs * min(outputs, inputs)


def split(weight: Tensor, layer: nn.Module) -> Tensor:
    """A layer's weight as the matrices that it applies, in no less than float32."""
    weight = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    if isinstance(layer, _ConvNd):  # [groups · O, I, *kernel]
        grouped = weight.reshape(layer.groups, -1, weight.shape[1], weight[0, 0].numel())
        return grouped.permute(0, 3, 1, 2).flatten(0, 1)
    return weight.reshape(_stacked(layer), -1, weight.shape[1])


def join(matrices_BOI: Tensor, weight: Tensor, layer: nn.Module) -> Tensor:
    """Undo `split`."""
    if isinstance(layer, _ConvNd):
        grouped = matrices_BOI.reshape(layer.groups, -1, *matrices_BOI.shape[1:])
        return grouped.permute(0, 2, 3, 1).reshape(weight.shape)
    return matrices_BOI.reshape(weight.shape)


def _stacked(layer: nn.Module) -> int:
    """Attention keeps the projections of query, key and value in one weight."""
    joint = isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None
    return 3 if joint else 1
