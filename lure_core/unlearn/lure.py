"""LURE as the paper means it, without the oddities of its published code."""

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
class Lure:
    """Re-initialise exactly the least salient share of the conv and linear weights (2303.10455).

    Saliency is taken on a stratified subset with BatchNorm in evaluation mode; afterwards the
    BatchNorm statistics are estimated anew on that subset, because the activations that they
    describe have changed. With a fraction of 0 nothing at all happens.
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
        if not count:
            return operation.report("lure", chosen=snip.none(operation.parameters))
        subset = draw(data, self.settings, generator)
        images = len(subset.samples)
        scores = snip.saliency(model, subset, names=operation.names, how=self.settings.saliency)
        operation.pay(images, data, passes=3)
        chosen = snip.lowest(scores, count, generator)
        operation.reset(chosen)
        operation.settle(subset)
        return operation.report("lure", chosen=chosen, subset_images=images)
