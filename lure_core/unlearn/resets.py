"""The controls without which nobody can say what the saliency is good for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, nn
from torch.optim import Optimizer

from lure_core import snip
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.types import UnlearnReport
from lure_core.unlearn.operation import Operation
from lure_core.unlearn.subset import draw


@dataclass(frozen=True)
class RandomReset:
    """Re-initialise exactly a share of the conv and linear weights, drawn by chance.

    As `Lure` in all else: the same count, new values from the fresh model, BatchNorm statistics
    estimated anew on a subset drawn alike.
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
        count = operation.share(self.settings.fraction)
        subset = draw(data, self.settings, generator)
        chosen = snip.by_chance(operation.parameters, count, generator)
        return _reset(operation, "random-reset", chosen, subset)


@dataclass(frozen=True)
class MagnitudeReset:
    """Re-initialise exactly the share of the conv and linear weights nearest to zero.

    One ranking over all layers, as in `Lure`, and like it in all else.
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
        count = operation.share(self.settings.fraction)
        subset = draw(data, self.settings, generator)
        sizes = {name: values.abs() for name, values in operation.parameters.items()}
        chosen = snip.lowest(sizes, count, generator)
        return _reset(operation, "magnitude-reset", chosen, subset)


def _reset(
    operation: Operation, strategy: str, chosen: snip.Chosen, subset: Batches
) -> UnlearnReport:
    operation.reset(chosen)
    seen = operation.settle(subset) if any(operation.touched.values()) else 0
    return operation.report(strategy, chosen=chosen, subset_images=seen)
