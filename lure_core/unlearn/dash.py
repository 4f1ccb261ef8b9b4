"""DASH: shrink each direction of the weights by how little the data still asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer

from lure_core import snip
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.types import UnlearnReport
from lure_core.unlearn.guard import Guard
from lure_core.unlearn.operation import Operation
from lure_core.unlearn.subset import draw


@dataclass(frozen=True)
class Dash:
    """Direction-aware shrinking (Shin et al. 2024, arXiv 2410.23495).

    The gradient of each chunk's mean loss, oldest chunk first, goes into a moving average that
    starts at zero: G ← (1 - a) G - a g. A weight is then scaled by its cosine with G, clamped to
    [floor, 1]: each kernel of a convolution (one output, one input channel), each row of a linear
    layer, each bias as a whole. So what still points where the loss falls stays; what the gradient
    does not ask for, or opposes, shrinks.

    As in the published code the gradient is taken with BatchNorm in evaluation mode, and the
    parameters of BatchNorm are untouched. Its statistics are estimated anew: the activations that
    they describe have shrunk.
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
        operation.names = snip.layer_names(model)
        averages = self._averages(operation, data)
        subset = draw(data, self.settings, generator)
        guard = Guard.before(operation, subset)
        layers, means = snip.weights(model), {}
        for name, old in operation.parameters.items():
            average = averages[name]
            scale = cosine(old, average, layers.get(name)).clamp(self.settings.dash_floor, 1)
            operation.write(name, old * scale, (scale < 1).expand_as(old))
            means[name] = float(scale.mean())
        operation.settle(subset)
        restored = guard.restore(shrunk_to=self.settings.dash_floor) if guard else None
        details = {"mean_scale": means, "guard": restored}
        return operation.report("dash", subset_images=len(data.samples), details=details)

    def _averages(self, operation: Operation, data: Batches) -> dict[str, Tensor]:
        """The moving average of the chunks' descent directions, by parameter."""
        alpha = self.settings.dash_alpha
        averages = {n: torch.zeros_like(snip.wide(p)) for n, p in operation.parameters.items()}
        for chunk in _chunks(data):
            gradients = snip.gradients(operation.model, chunk, names=operation.names)
            operation.pay(len(chunk.samples), data, passes=3)
            for name, gradient in gradients.items():
                mean = gradient / len(chunk.samples)
                averages[name].mul_(1 - alpha).sub_(mean, alpha=alpha)
        return averages


def cosine(weight: Tensor, direction: Tensor, layer: nn.Module | None) -> Tensor:
    """Of each unit of a weight with the direction, in a shape that spreads over the weight.

    Args:
        weight: Any shape.
        direction: Of the same shape.
        layer: Whose weight it is; None for a bias, which is one unit.
    """
    if isinstance(layer, _ConvNd):
        dims = tuple(range(2, weight.dim()))
    else:
        dims = (0,) if layer is None else (1,)
    return (_unit(weight, dims) * _unit(direction, dims)).sum(dims, keepdim=True)


def _unit(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Scaled to length 1; where there is no length, to nothing."""
    values = snip.wide(values)
    largest = values.abs().amax(dims, keepdim=True)  # first: squares of tiny gradients are zero
    values = values / largest.clamp_min(torch.finfo(values.dtype).tiny)
    return values / values.square().sum(dims, keepdim=True).sqrt().clamp_min(0.5)


def _chunks(data: Batches) -> Iterator[Batches]:
    """Oldest first; all as one where nobody said what came when."""
    ends = accumulate(data.parts or (len(data.samples),), initial=0)
    for start, end in pairwise(ends):
        if start < end:
            yield data.take(torch.arange(start, end))
